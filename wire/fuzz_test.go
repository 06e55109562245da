package wire

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the parsers of the wire's formats take is what would be written: no value has two encodings.

func FuzzParsePayload(f *testing.F) {
	f.Add(encodings(f)["payload"])
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParsePayload(b); err == nil {
			require.Equal(t, b, p.Append(nil))
		}
	})
}

func FuzzParseHead(f *testing.F) {
	f.Add(encodings(f)["head"])
	f.Add(encodings(f)["head with state"])
	trust := signedBy(signer)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseHead(b); err == nil {
			require.Equal(t, b, h.Append(nil))
			if trust.Verify(&h) == nil {
				require.Contains(t, [][]byte{encodings(t)["head"], encodings(t)["head with state"]}, b, "nobody has signed this")
			}
		}
	})
}

func FuzzParseDelta(f *testing.F) {
	f.Add(encodings(f)["delta"])
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDelta(b)
		if err != nil {
			return
		}
		require.Equal(t, b, d.Append(nil))
		at := Position{Epoch: 1, Rev: d.Rev - 1}
		next, edits, err := d.Follow(at)
		if err != nil {
			require.Equal(t, at, next)
			return
		}
		require.True(t, at.Before(next))
		for _, e := range edits {
			require.True(t, Shared(e.Kind))
			require.Equal(t, e.Deleted, e.Body == nil)
		}
	})
}

func FuzzParseResource(f *testing.F) {
	f.Add(encodings(f)["resource"])
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseResource(b); err == nil {
			require.Equal(t, b, AppendResource(nil, &r))
			_, _ = JoinCatalog([]Resource{r})
			_, _ = BlobsOf(r.Kind, r.Body)
			_, _ = ApplyReleases([]Resource{r}, "n")
			_ = CheckState([]Resource{r})
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add(encodings(f)["frame"])
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var again, buf []byte
		for {
			kind, body, err := ReadFrame(r, buf)
			if err != nil {
				require.True(t, bytes.HasPrefix(b, again))
				require.Equal(t, err == io.EOF, len(again) == len(b))
				return
			}
			again, buf = AppendFrame(again, kind, body), body
		}
	})
}

// Even one who can sign heads gets nothing but whole and sound states through.
func FuzzReadBundle(f *testing.F) {
	f.Add(encodings(f)["bundle"][len(bundleMagic)+5+len(encodings(f)["head with state"]):])
	trust := signedBy(signer)
	f.Fuzz(func(t *testing.T, frames []byte) {
		_, err := ReadBundle(bytes.NewReader(append([]byte(bundleMagic), frames...)), trust)
		require.Error(t, err, "nobody has signed this")
		var resources []Resource
		for r := bytes.NewReader(frames); ; {
			kind, body, err := ReadFrame(r, nil)
			resource, parseErr := ParseResource(body)
			if err != nil || kind != FrameResource || parseErr != nil {
				break
			}
			resources = append(resources, resource)
		}
		state := DigestState(resources)
		head := SignHead(signer, Position{Rev: 1}, &state, headOf(nil).IssuedAt)
		file := bundleOf(head, frames)
		b, err := ReadBundle(bytes.NewReader(file), trust)
		if err != nil {
			return
		}
		blobs := make([][]byte, 0, len(b.Blobs))
		for digest, blob := range b.Blobs {
			require.Equal(t, digest, digestText(blob))
			blobs = append(blobs, blob)
		}
		var again bytes.Buffer
		require.NoError(t, WriteBundle(&again, head, b.Resources, blobsFrom(blobs...)))
		require.Equal(t, file, again.Bytes())
	})
}

// A catalog that can be taken apart can be put together, and says the same.
func FuzzSplitCatalog(f *testing.F) {
	f.Add(readFile(f, "testdata/full.yaml"))
	f.Add([]byte(minimal))
	f.Add([]byte("prompts: [{name: a, version: 1.0.0, template: \"\\x7f\\u2028\\uFEFF\"}]"))
	f.Add([]byte(minimal + "prices: [{provider: p, model: a, input: 1e-6}, {provider: p, model: a, letters: .5, from: 2027-01-01}]\n" +
		"budgets: [{name: b, limit_usd: 1, period: rolling-7h, on_exhausted: {downgrade: m}}]\nrates: [{name: r, tokens: 1k/m}]\nwebhooks: [{name: w, url: 'http://127.1.2.3/'}]"))
	f.Add([]byte("prices: []\nkeys: ~\nbudgets: [{name: b, limit_usd: .5, period: daily, alerts: [007]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := SplitCatalog("fuzz", data); err == nil {
			checkRejoin(t, data)
		}
	})
}

func FuzzCanonicalJSON(f *testing.F) {
	f.Add([]byte(` {"b":1.50,"a":"\u2028\/","a":[]} `))
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := CanonicalJSON(data)
		if err != nil {
			return
		}
		twice, err := CanonicalJSON(once)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
		require.NoError(t, checkCanonical(once))
	})
}
