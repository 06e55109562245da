package gemini

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

var cutUsage = dialect.Usage{Input: 40, Cached: 5, Output: 70, Reasoning: 20, Known: true}

// prefixes are the beginnings of a stream before its terminal event, from none of its events on.
func prefixes(sse []byte) (all [][]byte) {
	for at := 0; at < len(sse); at += stream.Next(sse[at:]) {
		all = append(all, sse[:at:at])
	}
	return all
}

// cut ends a stream and checks what holds for any: its events, its offsets, its usage, and that the candidates are as far
// as they had come.
func cut(t require.TestingT, begun []byte, u dialect.Usage) (sse, whole []byte) {
	out, tail, terminal, err := Codec{}.AppendCut([]byte("|"), dialect.OpGenerate, begun, &u)
	require.NoError(t, err, "%s", begun)
	require.Equal(t, byte('|'), out[0])
	require.Equal(t, []int{0, 0, len(out) - 1}, []int{tail, terminal, stream.Next(out[1:])}, "the one event is the last")
	sse = append(begun[:len(begun):len(begun)], out[1:]...)
	whole = assertGood(t, sse)
	got, err := Codec{}.Whole(dialect.OpGenerate, whole)
	require.NoError(t, err)
	if u.Known {
		require.Equal(t, u, got)
	}
	require.Equal(t, soFar(t, begun), runs(t, whole), "%s", sse)
	return sse, whole
}

// soFar is what runs tells of a stream that was cut.
func soFar(t require.TestingT, begun []byte) map[int][]string {
	seen, ended := map[int]bool{}, map[int]string{}
	joined := map[int][]json.RawMessage{}
	for n := stream.Next(begun); n > 0; n = stream.Next(begun) {
		_, data, _ := stream.Fields(begun[:n], nil)
		begun = begun[n:]
		var e struct {
			Candidates []struct {
				Content      struct{ Parts []json.RawMessage }
				FinishReason string
				Index        int
			}
		}
		require.NoError(t, json.Unmarshal(data, &e))
		for _, c := range e.Candidates {
			seen[c.Index] = true
			ended[c.Index] += c.FinishReason
			joined[c.Index] = append(joined[c.Index], c.Content.Parts...)
		}
	}
	if len(seen) == 0 {
		seen[0] = true
	}
	var all []any
	for i := range seen {
		if ended[i] == "" {
			ended[i] = "MAX_TOKENS"
		}
		all = append(all, map[string]any{"content": map[string]any{"parts": joined[i]}, "finishReason": ended[i], "index": i})
	}
	doc, err := json.Marshal(map[string]any{"candidates": all})
	require.NoError(t, err)
	return runs(t, doc)
}

func TestAppendCut(t *testing.T) {
	streams := [][]byte{sse(piece(says(0, "", thought)), piece(says(0, "", saying(`a\u0062`)), says(1, "", saying("x"))), piece(says(0, "", saying("c"), saying("d"))),
		piece(says(1, `,"finishReason":"STOP"`)), piece(says(0, "", theCall)), piece(says(0, "", saying("e"))), piece(says(0, ends, theMark)))}
	exploded, _, _, err := Codec{}.AppendStream(nil, dialect.OpGenerate, []byte(wholeAnswer))
	require.NoError(t, err)
	for _, events := range append(streams, exploded) {
		for i, begun := range prefixes(events) {
			got, _ := cut(t, begun, cutUsage)
			_, last := readStream(t, got)
			for _, c := range last.Candidates {
				assert.Equal(t, genai.FinishReasonMaxTokens, c.FinishReason)
			}
			assert.EqualValues(t, 110, last.UsageMetadata.TotalTokenCount)
			if i > 0 {
				assert.NotEmpty(t, last.ResponseID)
				assert.NotEmpty(t, last.ModelVersion)
			}
		}
	}
}

func TestAppendCutAsTheProviderWrites(t *testing.T) {
	over := func(candidates, rest string) string {
		return string(sse(`{"candidates":[` + candidates + `],"usageMetadata":` + string(appendUsage(nil, &cutUsage)) + rest + `}`))
	}
	last := func(index int) string {
		return fmt.Sprintf(`{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"MAX_TOKENS","index":%d}`, index)
	}
	for begun, want := range map[string]string{
		"": over(last(0), ""),
		string(sse(piece(says(0, "", saying("a")), says(2, "", saying("b"))))):          over(last(0)+","+last(2), from),
		string(sse(piece(says(0, `,"finishReason":"STOP"`), says(1, "", saying("b"))))): over(last(1), from),
		string(sse(piece(says(0, `,"finishReason":"STOP"`)))):                           over("", from), // where more were wanted
		": a comment\n\n": over(last(0), ""),
	} {
		out, _, _, err := Codec{}.AppendCut(nil, dialect.OpGenerate, []byte(begun), &cutUsage)
		require.NoError(t, err)
		assert.Equal(t, want, string(out))
	}
	got, _ := cut(t, sse(piece(says(0, "", saying("a")))), dialect.Usage{})
	assert.Contains(t, string(got[len(sse(piece(says(0, "", saying("a"))))):]), usageNow, "as the provider told it")
	got, _ = cut(t, nil, dialect.Usage{})
	assert.NotContains(t, string(got), "usage")

	var many []string
	for i := range most + 1 {
		many = append(many, says(i, ""))
	}
	for _, bad := range []string{`{"candidates":[{]}`, piece(many...)} {
		out, _, _, err := Codec{}.AppendCut([]byte("|"), dialect.OpGenerate, sse(bad), &cutUsage)
		require.ErrorIs(t, err, dialect.ErrMalformed)
		assert.Equal(t, "|", string(out))
	}
	_, _, _, err := Codec{}.AppendCut(nil, dialect.OpEmbed, nil, &cutUsage)
	assert.Error(t, err)
}

func TestAppendCutSimulated(t *testing.T) {
	post := simulate(t)
	all := prefixes(post("streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"tell me of \"é\" 😀"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}`))
	for i := 0; i < len(all); i += 1 + len(all)/50 {
		cut(t, all[i], cutUsage)
	}
}

// Whatever a stream is cut at, it is a good stream with a beginning of the answer.
func TestCutStreamsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, _, _, err := Codec{}.AppendStream(nil, dialect.OpGenerate, anyAnswer.Draw(t, "answer"))
		require.NoError(t, err)
		if rapid.Bool().Draw(t, "foreign") { // another dialect's provider
			events = streamOf(t, eventsOf(replies.Draw(t, "reply")))
		}
		all := prefixes(events)
		cut(t, all[rapid.IntRange(0, len(all)-1).Draw(t, "cut")], cutUsage)
	})
}

func FuzzAppendCut(f *testing.F) {
	for _, events := range [][]byte{
		nil, burst(), sse(piece(says(0, ends, theMark), says(1, "", theCall)), piece(says(1, "", thought))),
		[]byte("data: {\"candidates\":\r\ndata: [{\"content\":{\"parts\":[{}]}}]}\r\n\r\n: c\n\n"), []byte(strings.Repeat("data: {\"response_id\":\"r\"}\n\n", 2)),
	} {
		f.Add(events)
	}
	f.Fuzz(func(t *testing.T, events []byte) {
		out, tail, terminal, err := Codec{}.AppendCut(nil, dialect.OpGenerate, events, &cutUsage)
		if err != nil {
			require.ErrorIs(t, err, dialect.ErrMalformed)
			require.Empty(t, out)
			return
		}
		require.Equal(t, []int{0, 0, len(out)}, []int{tail, terminal, stream.Next(out)})
		_, data, _ := stream.Fields(out, nil)
		require.True(t, json.Valid(data), "%s", data)
		var st dialect.Stream
		_, err = Codec{}.Event(dialect.OpGenerate, &st, nil, data)
		require.NoError(t, err)
		require.Equal(t, cutUsage, st.Usage)
		require.Equal(t, st.Choices, st.Ended, "%s", data)
	})
}
