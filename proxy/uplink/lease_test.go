package uplink

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// TestTheLargestLease: an origin's longest answer is read, and one that is longer is told from an origin that is away.
func TestTheLargestLease(t *testing.T) {
	f, n := follows(t)
	grant := wire.PotGrant{Budget: strings.Repeat("b", 40), Period: 253402300799, Granted: math.MaxInt64 / 8, Known: math.MaxInt64,
		Keep: math.MaxInt64 / 200, Limit: math.MaxInt64, Committed: math.MaxInt64, Spent: math.MaxInt64, Refused: wire.RefusedExhausted}
	one, err := json.Marshal(grant)
	require.NoError(t, err)
	const most = 200_000 // of one request; their names take 8 MiB of it
	assert.Less(t, most*(len(one)+1)+100, maxAnswer)

	answer, err := json.Marshal(wire.LeaseReply{Pots: slices.Repeat([]wire.PotGrant{grant}, 20_000)})
	require.NoError(t, err)
	f.with(func() {
		f.answer[wire.PathLease] = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) }
	})
	var reply wire.LeaseReply
	c := n.call(f.server.URL) // whether there is a session does not matter
	require.NoError(t, c.post(t.Context(), wire.PathLease, &wire.LeaseRequest{}, &reply))
	assert.Len(t, reply.Pots, 20_000)

	f.with(func() { answer = append(bytes.Repeat([]byte(" "), maxAnswer), "{}"...) })
	err = c.post(t.Context(), wire.PathLease, &wire.LeaseRequest{}, &reply)
	require.ErrorContains(t, err, "has more than the 64 MiB that are read of one")
}
