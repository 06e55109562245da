//go:build !race

package rate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

func TestNothingAllocates(t *testing.T) {
	l, of := limiter(map[string]wire.Rate{"a": perMinute(1e9, 1e12, 1000), "b": perMinute(1e9, 0, 0)})
	limits := of("a", "b")
	var ticket Ticket
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, ok := l.Admit(&ticket, limits, 100, at); ok {
			ticket.Done(100, at)
		}
	}))
	assert.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
		Headers(dialect.OpenAI, Window{100, 7, time.Second}, Window{100, 7, time.Second}, at, func(_, _ []byte) {})
	}), 4.0)
}
