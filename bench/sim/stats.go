package sim

import (
	"net"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// Stats counts what the server has done since it started.
type Stats struct {
	Requests        uint64            `json:"requests"`
	Streams         uint64            `json:"streams"`
	OpenRequests    int64             `json:"open_requests"`
	OpenStreams     int64             `json:"open_streams"`
	Connections     uint64            `json:"connections"` // distinct ones, ever
	OpenConnections int64             `json:"open_connections"`
	Sockets         uint64            `json:"sockets"` // WebSockets, ever
	OpenSockets     int64             `json:"open_sockets"`
	ClientGone      uint64            `json:"client_gone"`
	TokensIn        uint64            `json:"tokens_in"`
	TokensOut       uint64            `json:"tokens_out"`
	BytesSent       uint64            `json:"bytes_sent"`
	Faults          map[string]uint64 `json:"faults"`
}

// counters are Stats while they count.
type counters struct {
	requests, streams, connections, clientGone atomic.Uint64
	tokensIn, tokensOut, bytesSent, sockets    atomic.Uint64
	openRequests, openStreams, openConnections atomic.Int64
	openSockets                                atomic.Int64
	faults                                     [faultCount]atomic.Uint64
}

// connState counts connections for fasthttp. One that becomes a WebSocket is counted out by that.
func (c *counters) connState(_ net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateNew:
		c.connections.Add(1)
		c.openConnections.Add(1)
	case fasthttp.StateClosed:
		c.openConnections.Add(-1)
	}
}

func (c *counters) snapshot() Stats {
	out := Stats{
		Requests: c.requests.Load(), Streams: c.streams.Load(), OpenRequests: c.openRequests.Load(),
		OpenStreams: c.openStreams.Load(), Connections: c.connections.Load(), OpenConnections: c.openConnections.Load(),
		Sockets: c.sockets.Load(), OpenSockets: c.openSockets.Load(),
		ClientGone: c.clientGone.Load(), TokensIn: c.tokensIn.Load(), TokensOut: c.tokensOut.Load(),
		BytesSent: c.bytesSent.Load(), Faults: map[string]uint64{},
	}
	for f := faultNone + 1; f < faultCount; f++ {
		if n := c.faults[f].Load(); n > 0 {
			out.Faults[f.String()] = n
		}
	}
	return out
}
