package tokens

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type goldenText struct {
	Name   string
	Text   string
	Tokens int
}

// golden returns texts with the counts of OpenAI's own tiktoken; testdata/golden.mjs writes them.
func golden(t testing.TB) []goldenText {
	data, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	var texts []goldenText
	require.NoError(t, json.Unmarshal(data, &texts))
	require.Greater(t, len(texts), 1000)
	return texts
}

func TestCountAsTiktoken(t *testing.T) {
	for _, g := range golden(t) {
		assert.Equal(t, g.Tokens, Count([]byte(g.Text)), "%s: %q", g.Name, g.Text)
	}
}

func TestCountOfBytesThatAreNoText(t *testing.T) {
	assert.Equal(t, 0, Count(nil))
	assert.Equal(t, 2, Count([]byte("\xff\xfe")))
	assert.Equal(t, 3, Count([]byte("ab\xffab")), "the byte begins the second word, as any symbol does")
	assert.Equal(t, Count([]byte("中"))+1, Count([]byte("中\xe4")), "a character that is cut off")
}

func TestCountUpTo(t *testing.T) {
	text := []byte(strings.Repeat("one two ", 100))
	count := Count(text)
	for most, want := range map[int]int{-1: -1, 0: 0, 1: 1, 7: 7, count - 1: count - 1, count: count, count + 1: count} {
		assert.Equal(t, want, CountUpTo(text, most), "up to %d", most)
	}
}

// TestCountOfALongRun would take hours if time grew with the square of a piece.
func TestCountOfALongRun(t *testing.T) {
	cut := 1 << 20 / bound
	if testing.Short() {
		cut = 16
	}
	for _, run := range []string{"a", " ", "=", "7", "中", "\u0301", "A", "Aʰ", "\n", " \n"} {
		n := bound / len(run)
		perPiece := Count([]byte(strings.Repeat(run, n)))
		count := Count([]byte(strings.Repeat(run, n*cut)))
		assert.InEpsilon(t, perPiece*cut, count, 0.02, "%q", run)
	}
}

func TestCountFromManyGoroutines(t *testing.T) {
	texts := golden(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, g := range texts[len(texts)/2:] {
				assert.Equal(t, g.Tokens, Count([]byte(g.Text)))
			}
		})
	}
	wg.Wait()
}
