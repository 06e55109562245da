package store

import (
	"encoding/binary"

	"github.com/wedge-proxy/wedge/wire"
)

// What revisions are made of is what nodes verify.
type (
	// Chain stands for a revision and all before it.
	Chain = wire.Chain
	// Payload is what a revision's chain covers.
	Payload = wire.Payload
	// Item is what a revision did to one resource.
	Item = wire.Item
)

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
