//go:build !race

package gemini

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestPromptsAndRewrittenStreamsAllocateNothing(t *testing.T) {
	var p dialect.Prompt
	counted := []byte(inner(promptBody))
	batch := []byte(`{"requests":[{"content":{"parts":[{"text":"a\n"}]}}]}`)
	assert.Zero(t, testing.AllocsPerRun(20, func() {
		Codec{}.ReadPrompt(dialect.OpGenerate, asked, &p)
		Codec{}.ReadPrompt(dialect.OpCount, counted, &p)
		Codec{}.ReadPrompt(dialect.OpBatchEmbed, batch, &p)
	}))

	edit := dialect.Edit{Replace: true, Text: []byte("other")}
	other := editor(func(*dialect.Text) dialect.Edit { return edit })
	events := burst()
	var st dialect.Rewriting
	var out []byte
	for name, e := range map[string]editor{"unchanged": keep, "changed": other} {
		assert.Zero(t, testing.AllocsPerRun(20, func() {
			out, _, _ = Rewriter{}.AppendEvents(out[:0], events, dialect.OpGenerate, &st, e)
			st.Reset()
		}), name)
	}
}
