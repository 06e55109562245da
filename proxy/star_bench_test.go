package proxy

import (
	"fmt"
	"testing"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// BenchmarkStarRequest carries a request of 1.4 KB to each dialect.
func BenchmarkStarRequest(b *testing.B) {
	s, body := testDialects(), chatBody(b, "m")
	for to := range dialect.IDs {
		b.Run(to.String(), func(b *testing.B) {
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, _, err = s.AppendRequest(out[:0], dialect.OpChat, body, to, "m", true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// textEvent is the first event of a stream whose successors are like it, with all that comes before.
var textEvent = map[dialect.Op]struct{ before, event string }{
	dialect.OpChat: {"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
		"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" hello\"},\"finish_reason\":null}]}\n\n"},
	dialect.OpMessages: {"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n" +
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" hello\"}}\n\n"},
	dialect.OpGenerate: {"", "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" hello\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3,\"totalTokenCount\":3},\"modelVersion\":\"m\",\"responseId\":\"r1\"}\r\n\r\n"},
}

// relayText begins a relay and returns what carries one more text event.
func relayText(tb testing.TB, s *dialect.Set, from, to dialect.Op) (next func()) {
	tb.Helper()
	r, text := new(dialect.Relay), textEvent[from]
	r.Begin(s, from, to, 1)
	var out []byte
	carry := func(event []byte) {
		name, data, _ := stream.Fields(event, nil)
		var err error
		if out, err = r.AppendEvent(out[:0], name, data); err != nil {
			tb.Fatal(err)
		}
	}
	for rest := []byte(text.before); len(rest) > 0; {
		n := stream.Next(rest)
		carry(rest[:n])
		rest = rest[n:]
	}
	event := []byte(text.event)
	carry(event)
	return func() { carry(event) }
}

// BenchmarkStarEvent carries one text event of a stream from each dialect to each other.
func BenchmarkStarEvent(b *testing.B) {
	s := testDialects()
	for _, from := range streamOps {
		for _, to := range chatOps {
			if from == to {
				continue
			}
			b.Run(fmt.Sprintf("%s-%s", from, to), func(b *testing.B) {
				next := relayText(b, s, from, to)
				b.ReportAllocs()
				for b.Loop() {
					next()
				}
			})
		}
	}
}
