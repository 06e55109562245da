package wire

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
)

// bundleMagic begins the file of a bundle.
const bundleMagic = "wedge bundle 1\n"

// The frames that only the file of a bundle has.
const (
	FrameBlob  FrameType = 'F' // a blob begins: the SHA-256 (32 bytes) and the number of its bytes (8 bytes)
	FrameChunk FrameType = 'K' // the blob's next 1 MiB, or what is left of it
)

// What a bundle holds at most. Its reader has all of it in memory.
const (
	MaxBundleResources = 64 << 20  // bytes of all resources' frames
	MaxBundleBlob      = 64 << 20  // bytes of one blob
	MaxBundleBlobs     = 256 << 20 // bytes of all blobs

	bundleChunk = 1 << 20
)

// Bundle is a whole state that came as a file, with all blobs that it names.
type Bundle struct {
	Head      SignedHead
	Resources []Resource        // sorted; each is Shared
	Blobs     map[string][]byte // by digest, sha256: and 64 hexadecimal digits
}

// OpenBlob gives a blob by its digest, and its number of bytes.
type OpenBlob func(digest string) (blob io.Reader, size int64, err error)

// WriteBundle writes what a head with a State covers as a file: the magic line, the head, the resources that are Shared,
// sorted, and the blobs that they name, sorted by digest. Equal heads and resources give equal bytes. Secrets are in it as
// their commitments only. After an error, what was written is of no use.
func WriteBundle(w io.Writer, head SignedHead, resources []Resource, blobs OpenBlob) error {
	if err := writeBundle(w, &head, resources, blobs); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	return nil
}

func writeBundle(w io.Writer, head *SignedHead, resources []Resource, blobs OpenBlob) error {
	resources = slices.DeleteFunc(slices.Clone(resources), func(r Resource) bool { return !Shared(r.Kind) })
	SortResources(resources)
	if err := checkState(head, resources); err != nil {
		return err
	}
	named, err := namedBlobs(resources)
	if err != nil {
		return err
	}
	out := &frameWriter{w: bufio.NewWriterSize(w, 64<<10)}
	_, _ = out.w.WriteString(bundleMagic) // Flush tells what went wrong
	out.frame(FrameHead, head.Append(nil))
	total := 0
	for i := range resources {
		body := AppendResource(nil, &resources[i])
		if total += len(body); total > MaxBundleResources {
			return fmt.Errorf("its resources have more than %d bytes", MaxBundleResources)
		}
		out.frame(FrameResource, body)
	}
	left := int64(MaxBundleBlobs)
	for _, digest := range named {
		size, err := out.blob(digest, blobs)
		if err != nil {
			return fmt.Errorf("the blob %s: %w", digest, err)
		}
		if left -= size; left < 0 {
			return fmt.Errorf("its blobs have more than %d bytes", MaxBundleBlobs)
		}
	}
	return out.w.Flush()
}

// checkState tells whether resources are what a head covers.
func checkState(head *SignedHead, sorted []Resource) error {
	if head.State == nil {
		return errors.New("its head does not say what there is at its position")
	}
	if DigestState(sorted) != *head.State {
		return errors.New("its resources are not those that its head covers")
	}
	return nil
}

// namedBlobs lists the digests that resources name, sorted, each once.
func namedBlobs(resources []Resource) ([]string, error) {
	var all []string
	for i := range resources {
		digests, err := BlobsOf(resources[i].Kind, resources[i].Body)
		if err != nil {
			return nil, err
		}
		all = append(all, digests...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

type frameWriter struct {
	w    *bufio.Writer // keeps its first error
	head []byte
}

func (o *frameWriter) frame(t FrameType, body []byte) {
	o.head = append(binary.BigEndian.AppendUint32(o.head[:0], uint32(len(body))), byte(t))
	_, _ = o.w.Write(o.head)
	_, _ = o.w.Write(body)
}

func (o *frameWriter) blob(digest string, open OpenBlob) (size int64, err error) {
	r, size, err := open(digest)
	if err != nil {
		return 0, err
	}
	if size < 0 || size > MaxBundleBlob {
		return 0, fmt.Errorf("it has %d bytes; the most that a bundle takes is %d", size, MaxBundleBlob)
	}
	sum, err := hex.DecodeString(digest[len(digestPrefix):])
	if err != nil {
		return 0, err
	}
	o.frame(FrameBlob, binary.BigEndian.AppendUint64(sum[:len(sum):len(sum)], uint64(size)))
	h, chunk := sha256.New(), make([]byte, min(size, bundleChunk))
	for left := size; left > 0; left -= int64(len(chunk)) {
		chunk = chunk[:min(left, bundleChunk)]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return 0, noEOF(err)
		}
		_, _ = h.Write(chunk) // a hash takes everything
		o.frame(FrameChunk, chunk)
	}
	if !bytes.Equal(h.Sum(nil), sum) {
		return 0, errors.New("its bytes are not those that its digest stands for")
	}
	return size, nil
}

// ReadBundle reads what WriteBundle wrote, and nothing else. It trusts nothing before it is verified: first lengths, then
// the head's signature, then the digest of all resources, then what they say, as a node reads it, and at last each blob's
// digest. Every blob that the resources name is there, and no other.
func ReadBundle(r io.Reader, trust Trust) (*Bundle, error) {
	b, err := readBundle(&bundleReader{r: bufio.NewReaderSize(r, 64<<10)}, trust)
	if err != nil {
		return nil, fmt.Errorf("cannot use the bundle: %w", err)
	}
	return b, nil
}

func readBundle(in *bundleReader, trust Trust) (*Bundle, error) {
	magic := make([]byte, len(bundleMagic))
	if _, err := io.ReadFull(in.r, magic); err != nil || string(magic) != bundleMagic {
		return nil, fmt.Errorf("it does not begin with %q", bundleMagic)
	}
	b := &Bundle{Blobs: map[string][]byte{}}
	err := in.next()
	if err == nil {
		err = b.readHead(in, trust)
	}
	if err == nil {
		err = b.readResources(in)
	}
	if err == nil {
		err = CheckState(b.Resources)
	}
	if err == nil {
		err = b.readBlobs(in)
	}
	return b, err
}

// bundleReader has one frame at hand, until all are read.
type bundleReader struct {
	r    *bufio.Reader
	t    FrameType
	body []byte
	end  bool
}

func (in *bundleReader) next() (err error) {
	in.t, in.body, err = ReadFrame(in.r, in.body)
	if in.end = errors.Is(err, io.EOF); in.end { // between two frames
		return nil
	}
	return err
}

// want takes the frame at hand, which must be of a type.
func (in *bundleReader) want(t FrameType) ([]byte, error) {
	switch {
	case in.end:
		return nil, io.ErrUnexpectedEOF
	case in.t == t:
		return in.body, nil
	}
	return nil, fmt.Errorf("a frame of the type %q stands where one of the type %q is due", in.t, t)
}

func (b *Bundle) readHead(in *bundleReader, trust Trust) error {
	body, err := in.want(FrameHead)
	if err == nil {
		b.Head, err = ParseHead(body)
	}
	if err == nil {
		err = trust.Verify(&b.Head)
	}
	if err != nil {
		return err
	}
	return in.next()
}

func (b *Bundle) readResources(in *bundleReader) error {
	total := 0
	for !in.end && in.t == FrameResource {
		if total += len(in.body); total > MaxBundleResources {
			return fmt.Errorf("its resources have more than %d bytes", MaxBundleResources)
		}
		r, err := ParseResource(in.body)
		if err != nil {
			return err
		}
		r.Body = bytes.Clone(r.Body)
		b.Resources = append(b.Resources, r)
		if err := in.next(); err != nil {
			return err
		}
	}
	return checkState(&b.Head, b.Resources)
}

func (b *Bundle) readBlobs(in *bundleReader) error {
	named, err := namedBlobs(b.Resources)
	if err != nil {
		return err
	}
	left := int64(MaxBundleBlobs)
	for _, digest := range named {
		blob, err := in.blob(digest, &left)
		if err != nil {
			return fmt.Errorf("the blob %s: %w", digest, err)
		}
		b.Blobs[digest] = blob
	}
	if !in.end {
		return fmt.Errorf("a frame of the type %q stands where nothing is due", in.t)
	}
	return nil
}

// blob reads one blob, and takes its size off what is left for blobs. Memory is taken as bytes come.
func (in *bundleReader) blob(digest string, left *int64) ([]byte, error) {
	start, err := in.want(FrameBlob)
	if err != nil {
		return nil, err
	}
	if len(start) != sha256.Size+8 || digestPrefix+hex.EncodeToString(start[:sha256.Size]) != digest {
		return nil, errors.New("another blob stands where it is due")
	}
	size := binary.BigEndian.Uint64(start[sha256.Size:])
	if size > MaxBundleBlob || int64(size) > *left {
		return nil, fmt.Errorf("%d bytes are more than is read", size)
	}
	*left -= int64(size)
	h, blob := sha256.New(), make([]byte, 0, min(size, bundleChunk))
	for uint64(len(blob)) < size {
		if blob, err = in.chunk(blob, int(size), h); err != nil {
			return nil, err
		}
	}
	if digestPrefix+hex.EncodeToString(h.Sum(nil)) != digest {
		return nil, errors.New("its bytes are not those that its digest stands for")
	}
	return blob, in.next()
}

func (in *bundleReader) chunk(blob []byte, size int, h hash.Hash) ([]byte, error) {
	if err := in.next(); err != nil {
		return nil, err
	}
	chunk, err := in.want(FrameChunk)
	if err != nil {
		return nil, err
	}
	if len(chunk) != min(size-len(blob), bundleChunk) {
		return nil, fmt.Errorf("a chunk has %d bytes where it should have %d", len(chunk), min(size-len(blob), bundleChunk))
	}
	_, _ = h.Write(chunk) // a hash takes everything
	return append(blob, chunk...), nil
}
