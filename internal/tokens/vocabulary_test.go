package tokens

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestVocabularyIsThePublishedOne writes it as OpenAI publishes it; the digest is the one that tiktoken checks.
func TestVocabularyIsThePublishedOne(t *testing.T) {
	v := shared()
	var published []byte
	for rank := range uint32(size) {
		published = base64.StdEncoding.AppendEncode(published, v.token(rank))
		published = append(strconv.AppendUint(append(published, ' '), uint64(rank), 10), '\n')
	}
	sum := sha256.Sum256(published)
	assert.Equal(t, "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d", hex.EncodeToString(sum[:]))
}

func TestEveryTokenIsFound(t *testing.T) {
	v := shared()
	for rank := range uint32(size) {
		if v.rank(v.token(rank)) != rank {
			t.Fatalf("%q is not found as %d", v.token(rank), rank)
		}
	}
}

func TestWhatIsNoTokenIsNotFound(t *testing.T) {
	v := shared()
	ranks := referenceRanks()
	for rank := range uint32(size) {
		token := v.token(rank)
		longer := append(token[:len(token):len(token)], 'q')
		if _, is := ranks[string(longer)]; !is && v.rank(longer) != none {
			t.Fatalf("%q is found, and is no token", longer)
		}
	}
}
