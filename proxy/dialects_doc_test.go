package proxy

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// docTable is a table of docs/DIALECTS.md.
type docTable struct {
	section string // the heading of the second level above it
	minimal string // the JSON block of the section before it; "" if there is none
	head    []string
	rows    []docRow
}

type docRow struct {
	line  int
	cells []string
}

// readDoc reads the tables of a document.
func readDoc(tb testing.TB, name string) (tables []docTable) {
	tb.Helper()
	text, err := os.ReadFile(name)
	require.NoError(tb, err)
	var at docTable
	block, inTable := false, false
	for i, line := range strings.Split(string(text), "\n") {
		cells := cellsOf(line)
		switch {
		case strings.HasPrefix(line, "```"):
			if block = line == "```json"; block {
				at.minimal = ""
			}
		case block:
			at.minimal += line
		case strings.HasPrefix(line, "## "):
			at = docTable{section: line[3:]}
		case cells == nil:
			inTable = false
		case !inTable:
			inTable = true
			tables = append(tables, docTable{at.section, at.minimal, cells, nil})
		case strings.HasPrefix(cells[0], "--"):
		default:
			t := &tables[len(tables)-1]
			require.Len(tb, cells, len(t.head), "line %d", i+1)
			t.rows = append(t.rows, docRow{i + 1, cells})
		}
	}
	return tables
}

// cellsOf are the cells of a table's line; nil for any other.
func cellsOf(line string) (cells []string) {
	line, ok := strings.CutPrefix(line, "|")
	if !ok {
		return nil
	}
	for _, cell := range strings.Split(strings.TrimSuffix(line, "|"), "|") {
		cells = append(cells, strings.TrimSpace(cell))
	}
	return cells
}

// codesOf are the texts between backticks.
func codesOf(cell string) (codes []string) {
	for i, s := range strings.Split(cell, "`") {
		if i%2 == 1 {
			codes = append(codes, s)
		}
	}
	return codes
}

// docOps are the operations by the headings of their sections.
var docOps = map[string]dialect.Op{
	"OpenAI chat completions": dialect.OpChat, "OpenAI responses": dialect.OpResponses, "OpenAI completions": dialect.OpCompletions,
	"OpenAI embeddings": dialect.OpEmbeddings, "Anthropic messages": dialect.OpMessages, "Gemini generateContent": dialect.OpGenerate,
	"Gemini embedContent": dialect.OpEmbed, "Gemini batchEmbedContents": dialect.OpBatchEmbed,
}

// docTargets are the dialects that the columns are about. A provider without the responses API has a column of its own.
var docTargets = map[string]dialect.ID{
	"to openai": dialect.OpenAI, "to chat completions": dialect.OpenAI, "to anthropic": dialect.Anthropic, "to gemini": dialect.Gemini,
}

// decoded is a JSON document as maps, lists and values.
func decoded(tb testing.TB, doc string) (v any) {
	tb.Helper()
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	require.NoError(tb, d.Decode(&v), "%s", doc)
	return v
}

// merged is an object with the members of another, which is left without what is at a path.
func merged(tb testing.TB, minimal, example, without string) string {
	tb.Helper()
	out, members := decoded(tb, minimal).(map[string]any), decoded(tb, example).(map[string]any)
	if without != "" {
		remove(members, strings.Split(without, "."))
	}
	for k, v := range members {
		out[k] = v
	}
	b, err := json.Marshal(out)
	require.NoError(tb, err)
	return string(b)
}

// remove takes away what is at a path, which goes through lists.
func remove(v any, path []string) {
	switch v := v.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(v, path[0])
		} else {
			remove(v[path[0]], path[1:])
		}
	case []any:
		for _, e := range v {
			remove(e, path)
		}
	}
}

// valuesAt are the values at a path, which goes through lists.
func valuesAt(v any, path []string) (found []any) {
	switch v := v.(type) {
	case map[string]any:
		if inner, ok := v[path[0]]; ok && len(path) > 1 {
			return valuesAt(inner, path[1:])
		} else if ok {
			return []any{inner}
		}
	case []any:
		for _, e := range v {
			found = append(found, valuesAt(e, path)...)
		}
	}
	return found
}

// upstreamModel is a model whose name tells a codec nothing, so that it gets whatever the dialect has a word for.
const upstreamModel = "upstream"

// translated is what becomes of a request.
type translated struct {
	out  any
	body string
	lost []string
	err  error
}

func translate(tb testing.TB, op dialect.Op, body string, to dialect.ID, model string) translated {
	tb.Helper()
	out, lost, err := testDialects().AppendRequest(nil, op, []byte(body), to, model, false)
	if err != nil {
		return translated{err: err}
	}
	return translated{decoded(tb, string(out)), string(out), lost, nil}
}

// tells says that one of the names of what was lost is of a field: it, what holds it or what it holds, or the last of its
// names alone; of an answer, what an operation has no place for.
func tells(field, lost string) bool {
	return lost == field || strings.HasPrefix(lost, field+".") || strings.HasPrefix(field, lost+".") || strings.HasSuffix(field, "."+lost) ||
		strings.HasPrefix(lost, "answer.")
}

// assertCell holds what a table says against what a codec does: with is what becomes of a document with the field,
// without of one without it.
func assertCell(t *testing.T, cell, field string, with, without translated) {
	t.Helper()
	if cell == "refused" {
		assert.ErrorIs(t, with.err, dialect.ErrInexpressible)
		return
	}
	if !assert.NoError(t, with.err) {
		return
	}
	name, dropped := strings.CutPrefix(cell, "dropped")
	var as []string // what it is called
	if dropped {
		as = codesOf(name)
	}
	told := false
	for _, name := range with.lost {
		switch {
		case len(as) > 0 && name == as[0] || len(as) == 0 && tells(field, name):
			told = true
		default:
			assert.Contains(t, without.lost, name, "something else is lost, too")
		}
	}
	names, arrow := strings.CutPrefix(cell, "→ ")
	names, part := strings.CutSuffix(names, ", in part")
	assert.Equal(t, dropped || part, told, "lost %v, body %s", with.lost, with.body)
	switch {
	case dropped:
	case arrow:
		for _, name := range strings.Split(names, " and ") {
			assertMember(t, name, with, without)
		}
	default:
		assert.Contains(t, []string{"default", "node", "left out"}, cell)
		assert.Equal(t, without.body, with.body)
	}
}

// assertMember finds a member such as `a.b` or `a.b` = `value` in what became of a document, which is another without the
// field; with "no" before it the member must be missing.
func assertMember(t *testing.T, name string, with, without translated) {
	t.Helper()
	codes := codesOf(name)
	if !assert.NotEmpty(t, codes, "%s names no member", name) {
		return
	}
	path := strings.Split(codes[0], ".")
	found := valuesAt(with.out, path)
	assert.Equal(t, !strings.HasPrefix(name, "no "), len(found) > 0, "%s: %s", name, with.body)
	if len(codes) > 1 {
		assert.Contains(t, found, decoded(t, codes[1]), "%s", with.body)
	}
	if len(codes) == 1 {
		assert.NotEqual(t, valuesAt(without.out, path), found, "%s is the same without the field: %s", name, with.body)
	}
}

// Every field of a request becomes what the tables say.
func TestDocumentedRequests(t *testing.T) {
	seen := map[dialect.Op]bool{}
	for _, table := range readDoc(t, "../docs/DIALECTS.md") {
		op, ok := docOps[table.section]
		if !ok || table.head[0] != "field" {
			continue
		}
		seen[op] = true
		require.NotEmpty(t, table.rows, table.section)
		for _, row := range table.rows {
			documentedRow(t, op, table, row)
		}
	}
	assert.Len(t, seen, len(docOps))
}

func documentedRow(t *testing.T, op dialect.Op, table docTable, row docRow) {
	field, example := codesOf(row.cells[0])[0], codesOf(row.cells[1])[0]
	body, plain := merged(t, table.minimal, example, ""), merged(t, table.minimal, example, field)
	for i, cell := range row.cells[2:] {
		column := table.head[i+2]
		to := docTargets[column]
		t.Run(strings.Join([]string{op.String(), row.cells[0], column}, " "), func(t *testing.T) {
			var x exchange
			x.op = op
			asks := x.asks(&target{provider: &provider{dialect: to, chatsOnly: column == "to chat completions"}})
			if asks == op {
				assert.Equal(t, "same", cell, "line %d", row.line)
				return
			}
			without := translate(t, op, plain, to, upstreamModel)
			if without.err != nil {
				without = translate(t, op, table.minimal, to, upstreamModel)
			}
			assertCell(t, cell, field, translate(t, op, body, to, upstreamModel), without)
			if t.Failed() {
				t.Logf("docs/DIALECTS.md:%d says %q of %s", row.line, cell, body)
			}
		})
	}
}
