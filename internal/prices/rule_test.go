package prices

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRules(t *testing.T) {
	for text, names := range map[string]struct{ match, differ string }{
		`{"equals":"GPT-5"}`:                      {"gpt-5", "gpt-5-mini gpt"},
		`{"starts_with":"gpt-"}`:                  {"gpt-5 gpt-", "a-gpt-5"},
		`{"ends_with":"-mini"}`:                   {"gpt-5-mini -mini", "gpt-5-mini-2"},
		`{"contains":"claude"}`:                   {"claude eu.claude-2", "clau-de"},
		`{"regex":"^o[134]"}`:                     {"o1 o3-mini", "o2 xo1"},
		`{"regex":"^(?!.*-[tT][tT][sS](?:$|-))"}`: {"gemini gemini-ttsx", "gemini-tts gemini-tts-2"},
		`{"or":[{"equals":"a"},{"and":[{"starts_with":"b"},{"ends_with":"c"}]}]}`: {"a bc bxc", "b c ab"},
		`{"or":[]}`: {"", "a"},
	} {
		var r, again rule
		require.NoError(t, json.Unmarshal([]byte(text), &r), text)
		written, err := json.Marshal(r)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(written, &again), "%s", written)
		for _, each := range []*rule{&r, &again} {
			for name := range strings.FieldsSeq(names.match) {
				assert.True(t, each.matches(name), "%s is for %s", text, name)
			}
			for name := range strings.FieldsSeq(names.differ) {
				assert.False(t, each.matches(name), "%s is not for %s", text, name)
			}
		}
	}
	assert.False(t, (&rule{}).matches("a"))
}
