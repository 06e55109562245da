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
