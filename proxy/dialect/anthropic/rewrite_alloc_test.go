//go:build !race

package anthropic

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestPromptsAndRewrittenStreamsAllocateNothing(t *testing.T) {
	var p dialect.Prompt
	parts := []byte(`{"system":[{"type":"text","text":"a"},{"type":"text","text":"b\n"}],"messages":[{"role":"system","content":"c"},{"role":"user","content":"d\n"}],"tools":[{}]}`)
	assert.Zero(t, testing.AllocsPerRun(20, func() {
		Codec{}.ReadPrompt(dialect.OpMessages, ordinary, &p)
		Codec{}.ReadPrompt(dialect.OpMessages, parts, &p)
	}))

	edit := dialect.Edit{Replace: true, Text: []byte("other")}
	other := editor(func(*dialect.Text) dialect.Edit { return edit })
	var st dialect.Rewriting
	var out []byte
	for name, e := range map[string]editor{"unchanged": keep, "changed": other} {
		for _, events := range [][]byte{burst(false), burst(true), []byte(documented)} {
			assert.Zero(t, testing.AllocsPerRun(20, func() {
				out, _, _ = Rewriter{}.AppendEvents(out[:0], events, dialect.OpMessages, &st, e)
				st.Reset()
			}), name)
		}
	}
}
