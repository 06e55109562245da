package proxy

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/request"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// Whatever a client sends becomes JSON for every dialect, or is refused.
func FuzzStarRequest(f *testing.F) {
	for i, op := range chatOps {
		f.Add(uint8(i), starFile(f, op.String()+".json"))
	}
	s := testDialects()
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		op := chatOps[int(n)%len(chatOps)]
		var v request.View
		if v.Parse(body) != nil {
			return // no request gets this far
		}
		for to := range dialect.IDs {
			out, _, err := s.AppendRequest(nil, op, body, to, "m", n&128 != 0)
			if err == nil {
				require.True(t, json.Valid(out), "%s to %s: %q", op, to, out)
				require.NoError(t, v.Parse(out), "%s to %s: %q", op, to, out)
			}
		}
	})
}

// streamOps are the operations that targets are asked for, one for each dialect.
var streamOps = []dialect.Op{dialect.OpChat, dialect.OpMessages, dialect.OpGenerate}

// Whatever a provider streams that its codec finds good becomes a stream that the client's finds good, and says the same as
// the whole answer does.
func FuzzStarStream(f *testing.F) {
	for i, op := range streamOps {
		f.Add(uint8(i), starFile(f, op.String()+".sse"))
	}
	s := testDialects()
	f.Fuzz(func(t *testing.T, n uint8, sse []byte) {
		from := streamOps[int(n)%len(streamOps)]
		for _, to := range chatOps {
			if to != from {
				relayHostile(t, s, from, to, sse)
			}
		}
	})
}

func relayHostile(t *testing.T, s *dialect.Set, from, to dialect.Op, sse []byte) {
	var r dialect.Relay
	r.Begin(s, from, to, 1)
	var st, told dialect.Stream
	for len(sse) > 0 {
		n := stream.Next(sse)
		if n == 0 {
			return
		}
		name, data, _ := stream.Fields(sse[:n], nil)
		sse = sse[n:]
		kind, err := s.For(from).Event(from, &st, name, data)
		if err != nil || kind == dialect.Failed {
			return
		}
		if kind == dialect.Ignored {
			continue
		}
		out, err := r.AppendEvent(nil, name, data)
		if err != nil {
			return
		}
		for at := 0; at < len(out); {
			n := stream.Next(out[at:])
			require.NotZero(t, n, "%s to %s: %q", from, to, out)
			name, data, _ := stream.Fields(out[at:at+n], nil)
			k, err := s.For(to).Event(to, &told, name, data)
			require.NoError(t, err, "%s to %s: %q", from, to, out[at:at+n])
			require.NotEqual(t, dialect.Failed, k, "%s to %s: %q", from, to, out[at:at+n])
			at += n
		}
		if kind == dialect.Terminal {
			require.GreaterOrEqual(t, r.Terminal, 0)
			return
		}
	}
}
