package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The blobs of the bundle that tests look at.
var moduleBlob, casesBlob = []byte("\x00asm of a policy"), []byte(`{"a.json":{}}`)

// bundleResources are a small state of all sorts of resources, sorted.
func bundleResources(t testing.TB) []Resource {
	t.Helper()
	resources := split(t, minimal+`policies: [{name: x, hooks: [route], module: "`+digestText(moduleBlob)+`", cases: "`+digestText(casesBlob)+`"}]`)
	resources = append(resources, release(`{"candidate":"1.1.0","model":"m","percent":10,"seed":"s"}`),
		Resource{KindSecret, "openai", []byte(`{"commit":"` + CommitSecret([32]byte{1}, "hush") + `"}`)},
		Resource{KindTrust, "origin", []byte(`{"keys":["` + FormatPublicKey(signer.Public().(ed25519.PublicKey)) + `"]}`)})
	SortResources(resources)
	return resources
}

// blobsFrom has blobs in memory.
func blobsFrom(blobs ...[]byte) OpenBlob {
	return func(digest string) (io.Reader, int64, error) {
		for _, b := range blobs {
			if digestText(b) == digest {
				return bytes.NewReader(b), int64(len(b)), nil
			}
		}
		return nil, 0, os.ErrNotExist
	}
}

func writeBundleOf(t testing.TB, resources []Resource, blobs ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteBundle(&b, headOf(resources), resources, blobsFrom(append(blobs, moduleBlob, casesBlob)...)))
	return b.Bytes()
}

func TestBundlesAreReadAsWritten(t *testing.T) {
	resources := bundleResources(t)
	file := writeBundleOf(t, resources)
	got, err := ReadBundle(iotest.OneByteReader(bytes.NewReader(file)), signedBy(signer))
	require.NoError(t, err)
	assert.Equal(t, &Bundle{headOf(resources), resources, map[string][]byte{digestText(moduleBlob): moduleBlob, digestText(casesBlob): casesBlob}}, got)
	assert.NotContains(t, string(file), "hush")

	shuffled := append(slices.Clone(resources), Resource{"unheard-of", "x", []byte("1")})
	slices.Reverse(shuffled)
	before := slices.Clone(shuffled)
	var again bytes.Buffer
	require.NoError(t, WriteBundle(&again, headOf(resources), shuffled, blobsFrom(moduleBlob, casesBlob)))
	assert.Equal(t, file, again.Bytes(), "equal content is equal bytes, and nodes see what is shared")
	assert.Equal(t, before, shuffled, "what it was given is as it was")

	empty := writeBundleOf(t, nil)
	got, err = ReadBundle(bytes.NewReader(empty), signedBy(signer))
	require.NoError(t, err)
	assert.Empty(t, got.Resources)
}

func TestBundlesOfAnyCatalog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resources, err := SplitCatalog("c", drawCatalog(t))
		require.NoError(t, err)
		resources = slices.DeleteFunc(resources, func(r Resource) bool { return !Shared(r.Kind) })
		for i := range resources { // drawn catalogs name a blob that nobody has
			resources[i].Body = bytes.ReplaceAll(resources[i].Body, []byte("sha256:"+strings.Repeat("ab", 32)), []byte(digestText(moduleBlob)))
		}
		var file bytes.Buffer
		require.NoError(t, WriteBundle(&file, headOf(resources), resources, blobsFrom(moduleBlob)))
		got, err := ReadBundle(&file, signedBy(signer))
		require.NoError(t, err)
		require.Equal(t, resources, got.Resources)
	})
}

// Blobs come in chunks, of which the last may be shorter.
func TestLargeBlobs(t *testing.T) {
	for _, size := range []int{0, 1, bundleChunk - 1, bundleChunk, bundleChunk + 1, 3 * bundleChunk} {
		blob := bytes.Repeat([]byte{byte(size), 7}, size/2+1)[:size]
		resources := split(t, minimal+`policies: [{name: x, hooks: [route], module: "`+digestText(blob)+`"}]`)
		got, err := ReadBundle(bytes.NewReader(writeBundleOf(t, resources, blob)), signedBy(signer))
		require.NoError(t, err, size)
		assert.True(t, bytes.Equal(blob, got.Blobs[digestText(blob)]))
	}
}

// No byte of a bundle can change, be missing or be added without being noticed.
func TestBundlesThatWereTamperedWith(t *testing.T) {
	file := writeBundleOf(t, bundleResources(t))
	for i := range file {
		tampered := bytes.Clone(file)
		tampered[i] ^= 1
		b, err := ReadBundle(bytes.NewReader(tampered), signedBy(signer))
		require.ErrorContains(t, err, "cannot use the bundle: ", "byte %d", i)
		require.Nil(t, b)
		_, err = ReadBundle(bytes.NewReader(file[:i]), signedBy(signer))
		require.Error(t, err, "the first %d bytes", i)
	}
	for _, more := range [][]byte{{0}, make([]byte, 5), AppendFrame(nil, FrameChunk, nil), AppendFrame(nil, FrameBlob, make([]byte, 40)), file} {
		_, err := ReadBundle(bytes.NewReader(append(bytes.Clone(file), more...)), signedBy(signer))
		assert.Error(t, err)
	}
}

// bundleOf writes what WriteBundle would not.
func bundleOf(head SignedHead, frames ...[]byte) []byte {
	return append(AppendFrame([]byte(bundleMagic), FrameHead, head.Append(nil)), bytes.Join(frames, nil)...)
}

func resourceFrames(resources ...Resource) (frames []byte) {
	for i := range resources {
		frames = AppendFrame(frames, FrameResource, AppendResource(nil, &resources[i]))
	}
	return frames
}

// signedState is a bundle of a state that somebody who is trusted has signed, without blobs.
func signedState(resources ...Resource) []byte {
	state := DigestState(resources)
	return bundleOf(SignHead(signer, Position{Rev: 1}, &state, headOf(nil).IssuedAt), resourceFrames(resources...))
}

func TestBundlesThatAreRefused(t *testing.T) {
	_, other, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	none, bare := headOf(nil), SignHead(signer, Position{Rev: 1}, nil, headOf(nil).IssuedAt)
	state := *none.State
	x := Resource{KindSecret, "x", []byte(`{"commit":"` + CommitSecret([32]byte{}, "x") + `"}`)}
	y := Resource{KindSecret, "y", x.Body}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":            {nil, "does not begin with"},
		"another file":       {[]byte("wedge backup 1\n"), "does not begin with"},
		"no head":            {[]byte(bundleMagic), "unexpected EOF"},
		"resources first":    {append([]byte(bundleMagic), resourceFrames(x)...), "a frame of the type 'R' stands where one of the type 'H' is due"},
		"another's head":     {bundleOf(SignHead(other, none.Position, &state, none.IssuedAt)), "not trusted"},
		"a head of no state": {bundleOf(bare), "does not say what there is"},
		"a large frame":      {bundleOf(none, []byte{0xff, 0, 0, 0, 'R'}), "larger than"},
		"no resource":        {bundleOf(none, AppendFrame(nil, FrameResource, []byte{1})), "not a resource"},
		"more resources":     {bundleOf(none, resourceFrames(x)), "not those that its head covers"},
		"an unknown frame":   {bundleOf(none, AppendFrame(nil, 'Z', nil)), "a frame of the type 'Z' stands where nothing is due"},
		"a second head":      {bundleOf(none, AppendFrame(nil, FrameHead, none.Append(nil))), "a frame of the type 'H' stands where nothing is due"},
		"another kind":       {bundleOf(none, resourceFrames(Resource{"unheard-of", "x", []byte("{}")})), "this build does not know the kind"},
		"twice":              {signedState(x, x), `the secret "x" is there twice`},
		"another order":      {signedState(y, x), "out of its order"},
		"spaces":             {signedState(Resource{KindSecret, "x", append([]byte(" "), x.Body...)}), "not canonical"},
		"no catalog":         {signedState(Resource{KindKey, "k", []byte(`{"name":"k"}`)}), "bundle:1:10: keys[0].id: id is required"},
	} {
		b, err := ReadBundle(bytes.NewReader(c.file), signedBy(signer))
		assert.ErrorContains(t, err, c.want, name)
		assert.Nil(t, b, name)
	}
	_, err = ReadBundle(iotest.TimeoutReader(iotest.HalfReader(bytes.NewReader(signedState(x)))), signedBy(signer))
	assert.Error(t, err)
}

func TestBlobsThatAreRefused(t *testing.T) {
	blob := bytes.Repeat([]byte("x"), bundleChunk+10)
	resources := split(t, minimal+`policies: [{name: x, hooks: [route], module: "`+digestText(blob)+`"}]`)
	start := func(digest string, size uint64) []byte {
		sum, err := hex.DecodeString(digest[len(digestPrefix):])
		require.NoError(t, err)
		return AppendFrame(nil, FrameBlob, binary.BigEndian.AppendUint64(sum, size))
	}
	chunk := func(b []byte) []byte { return AppendFrame(nil, FrameChunk, b) }
	own, first, rest := start(digestText(blob), uint64(len(blob))), chunk(blob[:bundleChunk]), chunk(blob[bundleChunk:])
	state := signedState(resources...)
	_, err := ReadBundle(bytes.NewReader(slices.Concat(state, own, first, rest)), signedBy(signer))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		frames []byte
		want   string
	}{
		"missing":         {nil, "unexpected EOF"},
		"no start":        {first, "a frame of the type 'K' stands where one of the type 'F' is due"},
		"a short start":   {AppendFrame(nil, FrameBlob, nil), "another blob stands where it is due"},
		"another blob":    {slices.Concat(start(digestText(nil), 0)), "another blob stands where it is due"},
		"too large":       {start(digestText(blob), 1<<63), "more than is read"},
		"a size too high": {slices.Concat(start(digestText(blob), uint64(len(blob))+1), first, rest), "a chunk has 10 bytes where it should have 11"},
		"a short chunk":   {slices.Concat(own, rest), "a chunk has 10 bytes where it should have 1048576"},
		"an empty chunk":  {slices.Concat(own, chunk(nil)), "a chunk has 0 bytes"},
		"half":            {slices.Concat(own, first), "unexpected EOF"},
		"other bytes":     {slices.Concat(own, first, chunk([]byte("0123456789"))), "not those that its digest stands for"},
		"more chunks":     {slices.Concat(own, first, rest, rest), "stands where nothing is due"},
		"twice":           {slices.Concat(own, first, rest, own, first, rest), "stands where nothing is due"},
	} {
		_, err := ReadBundle(bytes.NewReader(slices.Concat(state, c.frames)), signedBy(signer))
		assert.ErrorContains(t, err, c.want, name)
	}
}

func TestWhatIsTooLargeIsNotRead(t *testing.T) {
	large := AppendResource(nil, &Resource{KindKey, "k", make([]byte, MaxFrame-100)})
	var frames []byte
	for range MaxBundleResources/len(large) + 1 {
		frames = AppendFrame(frames, FrameResource, large)
	}
	_, err := ReadBundle(bytes.NewReader(bundleOf(headOf(nil), frames)), signedBy(signer))
	assert.ErrorContains(t, err, "its resources have more than")
}

func TestBundlesThatCannotBeWritten(t *testing.T) {
	resources, broken := bundleResources(t), errors.New("broken")
	head := headOf(resources)
	write := func(head SignedHead, blobs OpenBlob) error { return WriteBundle(io.Discard, head, resources, blobs) }
	all := blobsFrom(moduleBlob, casesBlob)
	require.NoError(t, write(head, all))
	assert.EqualError(t, write(headOf(nil), all), "cannot write the bundle: its resources are not those that its head covers")
	assert.ErrorContains(t, write(SignHead(signer, head.Position, nil, head.IssuedAt), all), "does not say what there is")
	assert.ErrorIs(t, write(head, blobsFrom(casesBlob)), os.ErrNotExist)
	blobs := func(r io.Reader, size int64) OpenBlob {
		return func(string) (io.Reader, int64, error) { return r, size, nil }
	}
	assert.ErrorContains(t, write(head, blobs(nil, MaxBundleBlob+1)), "the most that a bundle takes")
	assert.ErrorContains(t, write(head, blobs(nil, -1)), "the most that a bundle takes")
	assert.ErrorIs(t, write(head, blobs(strings.NewReader("x"), 2)), io.ErrUnexpectedEOF)
	assert.ErrorIs(t, write(head, blobs(iotest.ErrReader(broken), 2)), broken)
	assert.ErrorContains(t, write(head, blobs(strings.NewReader("xy"), 2)), "not those that its digest stands for")
	assert.ErrorIs(t, WriteBundle(failingWriter{broken}, head, resources, all), broken)

	bad := []Resource{{KindPolicy, "x", []byte("[]")}}
	assert.ErrorContains(t, WriteBundle(io.Discard, headOf(bad), bad, all), "cannot tell the blobs")
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
