package anthropic

import (
	"fmt"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The dialect has no vectors: these methods say so.

// ReadEmbedding implements dialect.Embedder.
func (Codec) ReadEmbedding(op dialect.Op, _ []byte, e *dialect.Embedding) error {
	e.Reset()
	return noVectors(op)
}

// AppendEmbedding implements dialect.Embedder.
func (Codec) AppendEmbedding(dst []byte, _ *dialect.Embedding, model string) ([]byte, dialect.FieldSet, error) {
	return dst, 0, fmt.Errorf("vectors of the model %s: Anthropic's API has no embeddings; route the model to a provider of another dialect: %w",
		model, dialect.ErrInexpressible)
}

// ReadVectors implements dialect.Embedder.
func (Codec) ReadVectors(op dialect.Op, _ []byte, v *dialect.Vectors) error {
	v.Reset()
	return noVectors(op)
}

// AppendVectors implements dialect.Embedder.
func (Codec) AppendVectors(dst []byte, op dialect.Op, _ *dialect.Vectors, _ *dialect.Embedding, _ string) ([]byte, error) {
	return dst, noVectors(op)
}

func noVectors(op dialect.Op) error {
	return fmt.Errorf("the operation %s has no vectors: %w", op, dialect.ErrInexpressible)
}
