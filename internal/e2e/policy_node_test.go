package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// policyStatus is what the tests read of a policy on GET /status.
type policyStatus struct {
	Name, Digest, Hooks string
	State               struct {
		Calls       uint64
		Errors      map[string]uint64
		Instances   int
		Memory      uint64
		KeyValues   int `json:"kv_bytes"`
		Isolation   string
		Quarantined *time.Time `json:"quarantined_until"`
		Fallback    string
	}
}

// policies are the policies in use, by name.
func (n *node) policies(t testing.TB) map[string]policyStatus {
	t.Helper()
	var s struct{ Policies []policyStatus }
	n.operator(t).getJSON("/status", &s)
	out := map[string]policyStatus{}
	for _, p := range s.Policies {
		out[p.Name] = p
	}
	return out
}

// explained is what the tests read of GET /explain/{id}.
type explained struct {
	Policies []struct {
		Name, Verdict, Error string
		TookMS               float64 `json:"took_ms"`
	}
	Attempts []struct{ Target, Result string }
	Version  struct{ Version, Reason string }
}

// explain tells what became of an answer's request; a stream's is over a moment after its last byte.
func (n *node) explain(t testing.TB, a *answer) (e explained) {
	t.Helper()
	path := "/explain/" + a.header.Get("X-Request-Id")
	operator := n.operator(t)
	testkit.Eventually(t, 5*time.Second, func() error {
		if found := operator.get(path); found.status != 200 {
			return fmt.Errorf("%d %s", found.status, found.body)
		}
		return nil
	})
	operator.getJSON(path, &e)
	return e
}

// publish writes a new catalog and waits until the node uses it.
func (n *node) publish(t testing.TB, c *catalog) {
	t.Helper()
	before := n.status(t).Bundle.Digest
	n.put(t, c.String())
	testkit.Eventually(t, startTime, func() error {
		s := n.status(t)
		if s.Refused != nil {
			return fmt.Errorf("the catalog was refused: %s", s.Refused.Reason)
		}
		if s.Bundle.Digest == before {
			return fmt.Errorf("the node still uses the old catalog")
		}
		return nil
	})
}

// awaitRefusal waits until the node refuses a catalog for a reason that has a text in it, and returns the reason.
func (n *node) awaitRefusal(t testing.TB, says string) (reason string) {
	t.Helper()
	testkit.Eventually(t, startTime, func() error {
		s := n.status(t)
		if s.Refused == nil || !strings.Contains(s.Refused.Reason, says) {
			return fmt.Errorf("no catalog was refused for %q, but %+v", says, s.Refused)
		}
		reason = s.Refused.Reason
		return nil
	})
	return reason
}
