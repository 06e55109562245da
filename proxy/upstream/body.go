package upstream

import "io"

// framing is how the end of a body is known.
type framing uint8

const (
	frameNone   framing = iota // no body at all
	frameLength                // content-length
	frameChunked
	frameClose // everything until the connection ends
)

// maxFrameLine bounds a chunk-size line with its extensions and, together, all trailers, in bytes.
const maxFrameLine = 16 << 10

// maxChunkDigits bounds a chunk size to 2^48-1 bytes.
const maxChunkDigits = 12

const (
	errChunkSize = violation("bad chunk size")
	errChunkEnd  = violation("a chunk is not followed by CRLF")
	errFrameLine = violation("a chunk-size line or the trailers are too long")
)

// body walks over a framed body wherever the bytes happen to be cut: it looks at raw bytes and says how many
// of them are framing and how many are payload. It keeps no bytes.
type body struct {
	frame framing
	state chunkState
	left  int64 // payload bytes left: of the body for frameLength, of the chunk for frameChunked
	line  int   // bytes of the current size line, or of the trailers
	digit int   // digits of the chunk size
}

type chunkState uint8

const (
	chunkSize      chunkState = iota // in the digits
	chunkBlank                       // in white space behind the digits
	chunkExt                         // in the extensions
	chunkSizeLF                      // after the CR of the size line
	chunkData                        // in the payload
	chunkDataCR                      // before the CR behind the payload
	chunkDataLF                      // before the LF behind the payload
	trailerStart                     // at the start of a trailer line
	trailerLine                      // in a trailer line
	trailerLF                        // after the CR of a trailer line
	trailerFinalLF                   // after the CR of the empty line
	chunksDone
)

func (b *body) done() bool {
	switch b.frame {
	case frameNone:
		return true
	case frameLength:
		return b.left == 0
	case frameChunked:
		return b.state == chunksDone
	default:
		return false
	}
}

// next says that the first skip bytes of p are framing and that n bytes of payload follow them.
// The caller takes k of those n with take(k). n is 0 if p holds no payload yet, or the body is done.
func (b *body) next(p []byte) (skip, n int, err error) {
	switch b.frame {
	case frameLength:
		return 0, int(min(b.left, int64(len(p)))), nil
	case frameChunked:
		return b.nextChunk(p)
	case frameClose:
		return 0, len(p), nil
	default:
		return 0, 0, nil
	}
}

// take accounts for k payload bytes.
func (b *body) take(k int) {
	switch b.frame {
	case frameLength:
		b.left -= int64(k)
	case frameChunked:
		if b.left -= int64(k); b.left == 0 && b.state == chunkData {
			b.state = chunkDataCR
		}
	}
}

// end tells what the end of the connection means: nil if it is the body's end, else io.ErrUnexpectedEOF.
func (b *body) end() error {
	if b.frame == frameClose {
		b.frame = frameNone
		return nil
	}
	return io.ErrUnexpectedEOF
}

func (b *body) nextChunk(p []byte) (skip, n int, err error) {
	for i, c := range p {
		if b.state == chunkData {
			return i, int(min(b.left, int64(len(p)-i))), nil
		}
		if b.state == chunksDone {
			return i, 0, nil
		}
		if err := b.step(c); err != nil {
			return i, 0, err
		}
	}
	return len(p), 0, nil
}

// step takes one byte of chunk framing.
func (b *body) step(c byte) error {
	switch b.state {
	case chunkSize:
		return b.sizeByte(c)
	case chunkBlank, chunkExt:
		return b.extByte(c)
	case chunkSizeLF:
		return b.sizeEnd(c)
	case chunkDataCR:
		b.state = chunkDataLF
		return expect(c, '\r')
	case chunkDataLF:
		b.state, b.digit, b.line = chunkSize, 0, 0
		return expect(c, '\n')
	default:
		return b.trailerByte(c)
	}
}

func (b *body) sizeByte(c byte) error {
	d := unhex(c)
	switch {
	case d >= 0 && b.digit < maxChunkDigits:
		b.left = b.left<<4 | int64(d)
		b.digit++
		return nil
	case d >= 0 || b.digit == 0:
		return errChunkSize
	default:
		b.state = chunkBlank
		return b.extByte(c)
	}
}

// extByte takes what stands between the digits and the LF; extensions are skipped.
func (b *body) extByte(c byte) error {
	switch {
	case c == '\r':
		b.state = chunkSizeLF
	case c == '\n':
		return errChunkSize
	case b.state == chunkExt || isBlank(c):
	case c == ';':
		b.state = chunkExt
	default:
		return errChunkSize
	}
	return b.count()
}

func (b *body) sizeEnd(c byte) error {
	b.state, b.line = chunkData, 0
	if b.left == 0 {
		b.state = trailerStart
	}
	if c != '\n' {
		return errChunkSize
	}
	return nil
}

// trailerByte skips the trailers: nothing behind a body is believed.
func (b *body) trailerByte(c byte) error {
	switch {
	case b.state == trailerFinalLF:
		b.state = chunksDone
		return expect(c, '\n')
	case b.state == trailerLF:
		b.state = trailerStart
		return expect(c, '\n')
	case c == '\n':
		return errChunkEnd
	case c == '\r' && b.state == trailerStart:
		b.state = trailerFinalLF
	case c == '\r':
		b.state = trailerLF
	default:
		b.state = trailerLine
	}
	return b.count()
}

func (b *body) count() error {
	if b.line++; b.line > maxFrameLine {
		return errFrameLine
	}
	return nil
}

func expect(c, want byte) error {
	if c != want {
		return errChunkEnd
	}
	return nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}
