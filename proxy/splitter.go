package proxy

import "github.com/wedge-proxy/wedge/proxy/stream"

// splitter takes an answer apart for a client of a WebSocket, which gets each event of it as a message.
type splitter struct {
	streamed bool
	rest     []byte // the beginning of an event, or a whole answer that is no stream
	scratch  []byte
}

// take takes the next bytes of the answer, and calls each with the events that are whole by now; a comment has no data.
func (s *splitter) take(p []byte, each func(name, data, event []byte) error) (int, error) {
	s.rest = append(s.rest, p...)
	if !s.streamed {
		return len(p), nil
	}
	at := 0
	for {
		n := stream.Next(s.rest[at:])
		if n == 0 {
			break
		}
		event := s.rest[at : at+n]
		name, data, scratch := stream.Fields(event, s.scratch[:0])
		s.scratch = scratch
		at += n
		if err := each(name, data, event); err != nil {
			return 0, err
		}
	}
	s.rest = s.rest[:copy(s.rest, s.rest[at:])]
	return len(p), nil
}
