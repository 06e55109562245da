package control

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// A canary goes by what a real ledger booked, and its provider's key lies in a real vault.
func TestWithVaultAndLedger(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			o := &origin{t: t, url: database(t), now: time.Now().UTC()}
			s, err := store.Open(ctx, store.Options{URL: o.url, Schemas: []store.Schema{Schema(), vault.Schema(), ledger.Schema()}})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			secrets, err := vault.Open(ctx, s, vault.Options{})
			require.NoError(t, err)
			books := ledger.New(s)
			o.Control = New(Options{Store: s, Secrets: secrets, Traffic: Booked(books), Support: everything, Now: o.clock,
				Reach: func(context.Context, *wire.Provider) error { return nil }})

			o.apply(basic)
			_, err = o.PutSecret(ctx, ann, "claude", "sk-1")
			require.NoError(t, err)
			o.apply("providers: [{name: claude, dialect: anthropic, base_url: \"https://claude.test/v1\", api_key: \"origin:claude\"}]")
			_, err = o.DeleteSecret(ctx, ann, "claude")
			mustFail(t, err, CodeInvalid)
			o.staged()
			book := func(seq, requests, failed int64) {
				hour := o.clock().Unix() / 3600
				_, err := books.Book(ctx, "n1", &wire.Report{Incarnation: "i", Seq: seq, Usage: []wire.Usage{
					{Hour: hour, Model: "bot", Version: "1.1.0", Key: "k", Requests: requests},
					{Hour: hour, Model: "bot", Version: "1.1.0", Key: "k", Code: "upstream_error", Requests: failed},
				}})
				require.NoError(t, err)
			}
			book(1, 10, 90)
			o.promote(canary)
			o.tick()
			assert.Equal(t, stateRunning, o.release("bot").State)
			book(2, 30, 10)
			assert.EqualValues(t, 40, o.release("bot").Requests)
			o.tick()
			assert.Equal(t, stateRolledBack, o.release("bot").State)
			assert.EqualValues(t, 10, o.release("bot").Errors)
		})
	}
}
