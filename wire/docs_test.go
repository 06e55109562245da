package wire

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheReferenceIsTrue(t *testing.T) {
	text := string(readFile(t, "../docs/CATALOG.md"))
	source := string(readFile(t, "parse.go"))
	fields := regexp.MustCompile(`(?:need|may)\("([a-z_]+)",`).FindAllStringSubmatch(source, -1)
	require.Greater(t, len(fields), 60)
	for _, field := range fields {
		assert.Regexp(t, "[`{]"+field[1]+"\\b|## "+field[1], text, "the field %s is not documented", field[1])
	}
	for _, list := range [][]string{dialects, units, cacheModes, scopes, statuses, strategies, balances, phases, metrics, hooks, rights, spans, levels, rated, AlertKinds} {
		for _, word := range list {
			assert.Contains(t, text, "`"+word+"`")
		}
	}
}

func TestDocumentedCatalogsAreRead(t *testing.T) {
	for _, page := range []string{"CATALOG.md", "MONEY.md"} {
		examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(readFile(t, "../docs/"+page)), -1)
		require.NotEmpty(t, examples, page)
		for _, example := range examples {
			_, err := ParseCatalog(page, []byte(example[1]))
			assert.NoError(t, err, example[1])
		}
	}
}
