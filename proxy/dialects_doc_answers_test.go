package proxy

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// docClients are the operations by the columns of the tables of answers and streams.
var docClients = map[string]dialect.Op{
	"to chat completions": dialect.OpChat, "to responses": dialect.OpResponses, "to anthropic": dialect.OpMessages, "to gemini": dialect.OpGenerate,
	"chat completions": dialect.OpChat, "responses": dialect.OpResponses, "anthropic": dialect.OpMessages, "gemini": dialect.OpGenerate,
}

// tablesOf are the tables of a section.
func tablesOf(t *testing.T, section string) (tables []docTable) {
	t.Helper()
	for _, table := range readDoc(t, "../docs/DIALECTS.md") {
		if table.section == section {
			tables = append(tables, table)
		}
	}
	require.NotEmpty(t, tables, section)
	return tables
}

// answerWith is an answer with the members of an example, but for the field without. They go where the field is: into the
// answer, or into its first choice or candidate.
func answerWith(tb testing.TB, minimal, example, field, without string) string {
	tb.Helper()
	answer, members := decoded(tb, minimal).(map[string]any), decoded(tb, example).(map[string]any)
	into, path := answer, strings.Split(without, ".")
	list, _, _ := strings.Cut(field, ".")
	if choices, ok := answer[list].([]any); ok && members[list] == nil {
		into, path = choices[0].(map[string]any), path[min(1, len(path)):]
	}
	if without != "" {
		remove(members, path)
	}
	for k, v := range members {
		into[k] = v
	}
	b, err := json.Marshal(answer)
	require.NoError(tb, err)
	return string(b)
}

func answered(tb testing.TB, from dialect.Op, body string, to dialect.Op) translated {
	tb.Helper()
	out, lost, err := testDialects().AppendAnswer(nil, from, []byte(body), dialect.Client{Op: to, Model: "m", Created: 1_790_000_000})
	if err != nil {
		return translated{err: err}
	}
	return translated{decoded(tb, string(out)), string(out), lost, nil}
}

// Every part, end and count of an answer becomes what the tables say. The providers come in the order of the dialects.
func TestDocumentedAnswers(t *testing.T) {
	tables := tablesOf(t, "Answers")
	require.Len(t, tables, int(dialect.IDs))
	for d := range dialect.IDs {
		from, table := d.ChatOp(), tables[d]
		for _, row := range table.rows {
			field, example := codesOf(row.cells[0])[0], codesOf(row.cells[1])[0]
			body := answerWith(t, table.minimal, example, field, "")
			plain := answerWith(t, table.minimal, example, field, field)
			for i, cell := range row.cells[2:] {
				to := docClients[table.head[i+2]]
				t.Run(strings.Join([]string{from.String(), row.cells[0], table.head[i+2]}, " "), func(t *testing.T) {
					if to == from {
						assert.Equal(t, "same", cell)
						return
					}
					assertCell(t, cell, field, answered(t, from, body, to), answered(t, from, plain, to))
				})
			}
		}
	}
}

// Every code of the node's errors has a row, which says how the dialects call it.
func TestDocumentedErrors(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	require.NoError(t, err)
	table := tablesOf(t, "Errors")[0]
	at := 0
	for _, code := range regexp.MustCompile(`code\{"(\w+)", (\d+)\}`).FindAllStringSubmatch(string(source), -1) {
		require.Less(t, at, len(table.rows), "%s has no row", code[1])
		row := table.rows[at]
		at++
		require.Equal(t, "`"+code[1]+"`", row.cells[0], "the rows are in the order of errors.go")
		assert.Equal(t, code[2], row.cells[1])
		status, err := strconv.Atoi(code[2])
		require.NoError(t, err)
		for d := range dialect.IDs {
			body := testDialects().Codecs[d].AppendError(nil, &dialect.Error{Status: status, Code: code[1], Message: "m"}, "r")
			member := [...]string{"type", "type", "status"}[d]
			assert.Equal(t, []any{codesOf(row.cells[2+d])[0]}, valuesAt(decoded(t, string(body)), []string{"error", member}), code[1])
		}
	}
	assert.Len(t, table.rows, at)
}

// docEvents are the events by the rows of the table of streams. Those of every stream have none.
var docEvents = map[string][]dialect.Event{
	"that it begins": nil, "why it ended": nil, "usage": nil, "that it ended": nil,
	"text":             {{Kind: dialect.EventText, Text: []byte("a")}},
	"thinking":         {{Kind: dialect.EventThinking, Text: []byte("a")}},
	"a signature":      {{Kind: dialect.EventThinking, Text: []byte("a")}, {Kind: dialect.EventSignature, Signature: []byte("c2ln"), Signer: dialect.Anthropic}},
	"hidden reasoning": {{Kind: dialect.EventHidden, Signature: []byte("c2ln"), Signer: dialect.Anthropic}},
	"a refusal":        {{Kind: dialect.EventRefusal, Text: []byte("a")}},
	"a call":           {{Kind: dialect.EventCall, ID: []byte("c"), Name: []byte("f")}},
	"its arguments":    {{Kind: dialect.EventCall, ID: []byte("c"), Name: []byte("f")}, {Kind: dialect.EventArgs, Text: []byte(`{\"a\":1}`)}},
	"probabilities":    {{Kind: dialect.EventText, Text: []byte("a")}, {Kind: dialect.EventLogProbs, Raw: []byte(`{"content":[{"token":"a","logprob":-1,"bytes":[97],"top_logprobs":[]}],"refusal":null}`)}},
	"a picture":        {{Kind: dialect.EventMedia, Media: []byte("image/png"), Text: []byte("iVBORw0KGgo=")}},
}

// told is a stream that tells events and ends well.
func told(op dialect.Op, events []dialect.Event) []byte {
	all := append([]dialect.Event{{Kind: dialect.EventStart, ID: []byte("x"), Model: []byte("m")}}, events...)
	all = append(all, dialect.Event{Kind: dialect.EventFinish, Finish: dialect.FinishStop},
		dialect.Event{Kind: dialect.EventUsage, Usage: dialect.Usage{Input: 1, Output: 1, Known: true}}, dialect.Event{Kind: dialect.EventEnd})
	var st dialect.Writing
	var out []byte
	for i := range all {
		out = testDialects().For(op).AppendEvent(out, op, &st, &all[i])
	}
	return out
}

// Every event of a stream is told in the words of the table, which are not there without it.
func TestDocumentedStreams(t *testing.T) {
	table := tablesOf(t, "Streams")[0]
	assert.Len(t, table.rows, len(docEvents))
	for _, row := range table.rows {
		events, ok := docEvents[row.cells[0]]
		require.True(t, ok, row.cells[0])
		for i, cell := range row.cells[1:] {
			op := docClients[table.head[i+1]]
			t.Run(row.cells[0]+" "+op.String(), func(t *testing.T) {
				with, without := told(op, events), told(op, nil)
				if cell == "nothing" {
					assert.Equal(t, string(told(op, events[:max(len(events)-1, 0)])), string(with))
					return
				}
				assert.NotEmpty(t, codesOf(cell))
				for _, word := range codesOf(cell) {
					assert.Positive(t, times(with, word), "%s: %s", word, with)
					if events != nil {
						assert.Greater(t, times(with, word), times(without, word), "%s is there without it: %s", word, with)
					}
				}
			})
		}
	}
}

// times is how often a stream tells a word: a member, or a type.
func times(sse []byte, word string) int {
	if word == "[DONE]" {
		return bytes.Count(sse, []byte(word))
	}
	return bytes.Count(sse, []byte(`"`+word+`"`))
}

// What depends on the model is what the table says of it.
func TestDocumentedModels(t *testing.T) {
	minimal := map[string]string{}
	for _, table := range readDoc(t, "../docs/DIALECTS.md") {
		if op, ok := docOps[table.section]; ok {
			minimal[op.String()] = table.minimal
		}
	}
	for _, row := range tablesOf(t, "What depends on the model")[0].rows {
		op := dialect.OpOther
		for o := range dialect.Ops {
			if o.String() == row.cells[0] {
				op = o
			}
		}
		to, ok := dialect.Named(row.cells[3])
		require.True(t, ok && op != dialect.OpOther, "line %d", row.line)
		field, example, model := codesOf(row.cells[1])[0], codesOf(row.cells[2])[0], codesOf(row.cells[4])[0]
		t.Run(strings.Join([]string{row.cells[0], row.cells[1], model}, " "), func(t *testing.T) {
			with := translate(t, op, merged(t, minimal[op.String()], example, ""), to, model)
			without := translate(t, op, merged(t, minimal[op.String()], example, field), to, model)
			if without.err != nil {
				without = translate(t, op, minimal[op.String()], to, model)
			}
			assertCell(t, row.cells[5], field, with, without)
		})
	}
}
