package e2e

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// nodeStatus is what the tests read of GET /status.
type nodeStatus struct {
	Ready    bool
	InFlight int `json:"in_flight"`
	Bundle   struct{ Digest string }
	Refused  *struct{ Reason, Source string }
	Targets  []targetStatus
	Cache    struct{ Queued, Flights int }
}

type targetStatus struct {
	Model, Target string
	Healthy       bool
	InFlight      int `json:"in_flight"`
}

func (n *node) status(t testing.TB) (s nodeStatus) {
	t.Helper()
	n.operator(t).getJSON("/status", &s)
	return s
}

// target is the status of a model's target.
func (n *node) target(t testing.TB, model, name string) targetStatus {
	t.Helper()
	for _, s := range n.status(t).Targets {
		if s.Model == model && s.Target == name {
			return s
		}
	}
	require.FailNow(t, "no such target", "%s of %s", name, model)
	return targetStatus{}
}

// metric sums the samples of a metric whose labels hold every one of the given texts.
func (n *node) metric(t testing.TB, name string, labels ...string) (sum float64) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(n.operator(t).get("/metrics").body))
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		at := strings.LastIndexByte(rest, ' ')
		value, err := strconv.ParseFloat(rest[at+1:], 64)
		require.NoError(t, err)
		if holdsAll(rest[:at], labels) {
			sum += value
		}
	}
	return sum
}

func holdsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// awaitIdle waits until no request is under way.
func (n *node) awaitIdle(t testing.TB, within time.Duration) {
	t.Helper()
	testkit.Eventually(t, within, func() error {
		s := n.status(t)
		if s.InFlight > 0 || s.Cache.Flights > 0 {
			return fmt.Errorf("%d requests and %d upstream calls are under way", s.InFlight, s.Cache.Flights)
		}
		for _, target := range s.Targets {
			if target.InFlight > 0 {
				return fmt.Errorf("target %s of %s has %d attempts under way", target.Target, target.Model, target.InFlight)
			}
		}
		return nil
	})
}
