package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// providerFaults are what a provider does wrong before its answer begins, and what the node makes of it.
var providerFaults = map[string]struct {
	status int
	codes  []string
}{
	"429":        {429, []string{"rate_limited"}},
	"500":        {502, []string{"upstream_error"}},
	"502":        {502, []string{"upstream_error"}},
	"503":        {502, []string{"upstream_error"}},
	"overloaded": {502, []string{"upstream_error"}},
	"401":        {502, []string{"upstream_error"}},
	"refused":    {502, []string{"upstream_error"}},
	"garbage":    {502, []string{"upstream_protocol"}},
	"empty":      {502, []string{"upstream_protocol"}},
	"error200":   {502, []string{"upstream_error", "upstream_protocol"}},
}

// TestProviderErrorsInTheClientsDialect lets providers of every dialect fail in every way for clients of every other.
func TestProviderErrorsInTheClientsDialect(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for fault, want := range providerFaults {
		for _, d := range dialects {
			for _, op := range operations {
				for _, streamed := range []bool{false, true} {
					name := fmt.Sprintf("%s of %s for %s, streamed %t", fault, d, op, streamed)
					a := ann.say(word(op, d+"/x;retry_after=7s;fail="+fault, "failing", streamed, limit(op, 99)))
					require.Contains(t, want.codes, a.header.Get("X-Wedge-Error"), "%s: %s", name, a.body)
					a.wantRefusal(t, op, want.status, a.header.Get("X-Wedge-Error"))
					assert.Equal(t, want.status == 429, a.header.Get("Retry-After") == "7", name)
					assert.NotContains(t, a.body, providerSecret, name)
				}
			}
		}
	}
}

// TestRefusalsOfProvidersSayWhy asks for what the provider itself finds wrong.
func TestRefusalsOfProvidersSayWhy(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, d := range dialects {
		for _, op := range operations {
			a := ann.say(word(op, d+"/missing-model", "Who is there?", false, limit(op, 99)))
			if ownDialect[op] == d { // in its own words
				assert.Equal(t, []any{404, "invalid_request"}, []any{a.status, a.header.Get("X-Wedge-Error")}, op)
				assert.Contains(t, a.body, "missing-model", op)
				continue
			}
			assert.Contains(t, a.wantRefusal(t, op, 404, "invalid_request"), "missing-model", "%s for %s", d, op)
		}
	}
}

// TestErrorsBeforeProvidersInEveryDialect asks wrongly.
func TestErrorsBeforeProvidersInEveryDialect(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, op := range operations {
		good := word(op, "to-openai", "Hello?", false, limit(op, 99))
		for name, c := range map[string]struct {
			body   string
			status int
			code   string
		}{
			"no JSON":        {`{"a":`, 400, "invalid_json"},
			"an array":       {`[]`, 400, "invalid_json"},
			"twice the same": {`{"model":"to-openai","model":"to-gemini"}`, 400, "invalid_json"},
		} {
			a := ann.do("POST", good.path, c.body, good.headers...)
			require.Contains(t, []string{c.code, "invalid_request"}, a.header.Get("X-Wedge-Error"), "%s of %s: %s", name, op, a.body)
			a.wantRefusal(t, op, c.status, a.header.Get("X-Wedge-Error"))
		}
		newClient(t, s.data, "").say(good).wantRefusal(t, op, 401, "unauthenticated")
		newClient(t, s.data, keyOf("nobody")).say(good).wantRefusal(t, op, 401, "unauthenticated")
		ann.say(word(op, "no-such-model", "Hello?", true, limit(op, 99))).wantRefusal(t, op, 404, "unknown_model")
		a, err := ann.try(context.Background(), "GET", good.path, "", good.headers...)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, a.status, 400, op)
	}
}
