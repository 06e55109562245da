package gemini

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestReadEmbedding(t *testing.T) {
	var e dialect.Embedding
	require.NoError(t, Codec{}.ReadEmbedding(dialect.OpEmbed, []byte(`{"model":"models/m","content":{"role":"user","parts":[{"text":"a\n"},{"text":"b"}]},
		"task_type":"RETRIEVAL_QUERY","title":"t","outputDimensionality":64,"x":1}`), &e))
	assert.Equal(t, dialect.Embedding{Inputs: []dialect.Written{written(`a\nb`)}, Dimensions: 64, TaskType: written("RETRIEVAL_QUERY"), Title: written("t"),
		Unknown: []string{"x"}}, e)
	require.NoError(t, Codec{}.ReadEmbedding(dialect.OpBatchEmbed, []byte(`{"requests":[{"content":{"parts":{"text":"a"}},"taskType":"TASK_TYPE_UNSPECIFIED"},
		{"content":{"parts":[{"text":"b"}]},"model":"m"}]}`), &e))
	assert.Equal(t, []dialect.Written{written("a"), written("b")}, e.Inputs)
	assert.Nil(t, e.TaskType)
	for body, want := range map[string]error{
		`{"requests":[{"content":{"parts":{"text":"a"}}},{"content":{"parts":{"text":"b"}},"title":"t"}]}`: dialect.ErrInexpressible,
		`{"requests":[{"content":{"parts":[{"inlineData":{}}]}}]}`:                                         dialect.ErrInexpressible,
		`{"requests":[]}`:              dialect.ErrMalformed,
		`{"requests":[{}]}`:            dialect.ErrMalformed,
		`{"requests":[1]}`:             dialect.ErrMalformed,
		`{"requests":[{"content":1}]}`: dialect.ErrMalformed,
		`{`:                            dialect.ErrMalformed,
	} {
		assert.ErrorIs(t, Codec{}.ReadEmbedding(dialect.OpBatchEmbed, []byte(body), &e), want, body)
	}
	assert.ErrorIs(t, Codec{}.ReadEmbedding(dialect.OpGenerate, []byte(`{}`), &e), dialect.ErrInexpressible)
}

func TestEmbeddingsComeBack(t *testing.T) {
	var got dialect.Embedding
	rapid.Check(t, func(t *rapid.T) {
		want := dialect.Embedding{
			Inputs: rapid.SliceOfN(words, 1, 4).Draw(t, "inputs"), Dimensions: rapid.Int64Range(0, 3072).Draw(t, "dimensions"),
			TaskType: perhaps(oneOf("CLUSTERING")).Draw(t, "task"), Title: perhaps(words).Draw(t, "title"),
		}
		body, left, err := Codec{}.AppendEmbedding(nil, &want, "models/m")
		require.NoError(t, err)
		assert.Zero(t, left)
		require.NoError(t, Codec{}.ReadEmbedding(dialect.OpBatchEmbed, body, &got), "%s", body)
		got.Unknown = nil
		assert.Equal(t, want, got)
	})
	body, left, err := Codec{}.AppendEmbedding(nil, &dialect.Embedding{Inputs: []dialect.Written{written("a")}, User: written("u"), Base64: true}, "models/m")
	require.NoError(t, err)
	assert.Equal(t, `{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}`, string(body))
	assert.True(t, left.Has(dialect.FieldUser))
	_, _, err = Codec{}.AppendEmbedding(nil, &dialect.Embedding{}, "m")
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}

func TestVectors(t *testing.T) {
	var v dialect.Vectors
	body := `{"embeddings":[{"values":[0.5,-1]},{"values":[2]}],"usageMetadata":{"promptTokenCount":7}}`
	require.NoError(t, Codec{}.ReadVectors(dialect.OpBatchEmbed, []byte(body), &v))
	assert.Equal(t, []dialect.Raw{dialect.Raw("[0.5,-1]"), dialect.Raw("[2]")}, v.Items)
	out, err := Codec{}.AppendVectors(nil, dialect.OpBatchEmbed, &v, new(dialect.Embedding), "m")
	require.NoError(t, err)
	assert.Equal(t, body, string(out))
	_, err = Codec{}.AppendVectors(nil, dialect.OpEmbed, &v, new(dialect.Embedding), "m")
	assert.ErrorIs(t, err, dialect.ErrMalformed)

	require.NoError(t, Codec{}.ReadVectors(dialect.OpEmbed, []byte(`{"embedding":{"values":[1]}}`), &v))
	v.Items[0] = dialect.Raw(`"AAAAPwAAgL8="`) // 0.5, -1
	out, err = Codec{}.AppendVectors(nil, dialect.OpEmbed, &v, new(dialect.Embedding), "m")
	require.NoError(t, err)
	assert.Equal(t, `{"embedding":{"values":[0.5,-1]}}`, string(out))
	for _, bad := range []string{`"AAA"`, `"AAAA"`, `"AADAfw=="`} { // too short, no float, not a number
		v.Items[0] = dialect.Raw(bad)
		_, err = Codec{}.AppendVectors(nil, dialect.OpEmbed, &v, new(dialect.Embedding), "m")
		assert.ErrorIs(t, err, dialect.ErrMalformed, bad)
	}
	out, err = Codec{}.AppendVectors(nil, dialect.OpBatchEmbed, new(dialect.Vectors), new(dialect.Embedding), "m")
	require.NoError(t, err)
	assert.Equal(t, `{"embeddings":[]}`, string(out))
	for _, body := range []string{`{}`, `{"embeddings":[]}`, `{"embeddings":[{}]}`, `{"embeddings":[1]}`, `{"embedding":"x"}`, `{`} {
		assert.ErrorIs(t, Codec{}.ReadVectors(dialect.OpBatchEmbed, []byte(body), &v), dialect.ErrMalformed, body)
	}
	assert.ErrorIs(t, Codec{}.ReadVectors(dialect.OpGenerate, []byte(`{}`), &v), dialect.ErrInexpressible)
	_, err = Codec{}.AppendVectors(nil, dialect.OpGenerate, &v, nil, "m")
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}
