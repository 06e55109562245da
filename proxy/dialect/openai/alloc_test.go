//go:build !race

package openai

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestGoodAnswersAllocateNothing(t *testing.T) {
	chat, responses, padded, same := []byte(chatWhole), []byte(responsesWhole), burst(true), burst(false)
	assert.Zero(t, testing.AllocsPerRun(20, func() { _, _ = Codec{}.Whole(dialect.OpChat, chat) }))
	assert.Zero(t, testing.AllocsPerRun(20, func() { _, _ = Codec{}.Whole(dialect.OpResponses, responses) }))
	assert.Zero(t, testing.AllocsPerRun(20, func() { relay(padded) }))
	assert.Zero(t, testing.AllocsPerRun(20, func() { relay(same) }))
	completed := []byte(`{"type":"response.completed","sequence_number":3,"response":` + responsesWhole + `}`)
	created := []byte(`{"type":"response.created","sequence_number":0,"response":` + responsesWhole + `}`)
	assert.Zero(t, testing.AllocsPerRun(20, func() {
		var st dialect.Stream
		_, _ = Codec{}.Event(dialect.OpResponses, &st, nil, created)
		_, _ = Codec{}.Event(dialect.OpResponses, &st, nil, completed)
	}))
	out := make([]byte, 0, 1024)
	e := &dialect.Error{Status: 502, Code: "upstream_error", Message: "x"}
	assert.Zero(t, testing.AllocsPerRun(20, func() { Codec{}.AppendError(out, e, "r") }))
}

func TestPromptsAndUnchangedStreamsAllocateNothing(t *testing.T) {
	plain, escaped := chatRequest(t, false), chatRequest(t, true)
	parts := []byte(`{"input":[{"role":"system","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},{"role":"developer","content":"c\n"}],"instructions":"d","temperature":0.5,"tools":[{}]}`)
	var p dialect.Prompt
	assert.Zero(t, testing.AllocsPerRun(20, func() {
		Codec{}.ReadPrompt(dialect.OpChat, plain, &p)
		Codec{}.ReadPrompt(dialect.OpChat, escaped, &p)
		Codec{}.ReadPrompt(dialect.OpResponses, parts, &p)
	}))

	var st dialect.Rewriting
	var out []byte
	for op, events := range map[dialect.Op][]byte{dialect.OpChat: burst(true), dialect.OpResponses: explode(t, dialect.OpResponses, []byte(itemsWhole))} {
		assert.Zero(t, testing.AllocsPerRun(20, func() {
			out, _, _ = Rewriter{}.AppendEvents(out[:0], events, op, &st, keep)
			st.Reset()
		}), op)
	}
	edit := dialect.Edit{Replace: true, Text: []byte("other")}
	other := editor(func(*dialect.Text) dialect.Edit { return edit })
	events := burst(true)
	assert.Zero(t, testing.AllocsPerRun(20, func() {
		out, _, _ = Rewriter{}.AppendEvents(out[:0], events, dialect.OpChat, &st, other)
		st.Reset()
	}))
}
