package sim

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const (
	voiceRate     = 24_000 // samples per second of what is spoken, 16 bits each
	phoneRate     = 8_000  // of the formats of telephones, 8 bits each
	soundPerToken = 100    // milliseconds in which one token of text is spoken
	soundCost     = 2      // tokens of sound for each of them
	heardPerToken = 100    // milliseconds of what is heard that cost one token
	wordPerMillis = 300    // milliseconds of what is heard that are one token of text
	soundWindow   = 20     // milliseconds in which sound is either speech or silence
	minLoudness   = 500    // of a 16-bit sample that is speech
	minPhoneLoud  = 0x30   // of a telephone's sample that is speech
)

// telephone is one of the formats of telephones: what their samples are masked with, or noPhone.
type telephone byte

const (
	noPhone telephone = 0
	muLaw   telephone = 0xff
	aLaw    telephone = 0x55
)

// recording is sound that a client has sent.
type recording struct {
	hash  xxhash.Digest
	bytes int
	quiet int // bytes of silence at its end
}

func (r *recording) clear() { *r = recording{} }

func (r *recording) add(sound []byte) {
	if r.bytes == 0 {
		r.hash.Reset() // the zero value does not begin as a hash does
	}
	_, _ = r.hash.Write(sound)
	r.bytes += len(sound)
}

// hush keeps account of the silence at the recording's end.
func (r *recording) hush(bytes int, loud bool) {
	r.quiet += bytes
	if loud {
		r.quiet = 0
	}
}

// isLoud tells speech from silence.
func isLoud(sound []byte, phone telephone) bool {
	if phone != noPhone {
		return slices.ContainsFunc(sound, func(b byte) bool { return (b^byte(phone))&0x7f > minPhoneLoud })
	}
	for ; len(sound) > 1; sound = sound[2:] {
		if sample := int16(binary.LittleEndian.Uint16(sound)); sample > minLoudness || sample < -minLoudness {
			return true
		}
	}
	return false
}

// millis is how long the recording is at a number of bytes per second.
func (r *recording) millis(rate int) int { return r.bytes * 1000 / rate }

// heard is what a recording means to the brain.
type heard struct {
	text    string // that is taken for what was said: it follows from the bytes
	millis  int
	tokens  int // that the sound costs
	instead int // that the text would cost
}

func (b *brain) listen(r *recording, rate int) heard {
	h := heard{millis: r.millis(rate)}
	said := think(&ask{key: r.hash.Sum64(), choices: 1, want: max(h.millis/wordPerMillis, 3)}, b.seed)
	h.text, h.instead = said.choices[0].text, said.out
	h.tokens = max((h.millis+heardPerToken-1)/heardPerToken, 1)
	return h
}

// appendSpeech appends the sound of some tokens, from one to before another: a tone that follows from key.
func appendSpeech(dst []byte, key uint64, from, to int) []byte {
	r := rng(key)
	step := 2 * math.Pi * (220 + float64(r.below(660))) / voiceRate
	const samples = voiceRate * soundPerToken / 1000
	for i := from * samples; i < to*samples; i++ {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(int16(8000*math.Sin(step*float64(i)))))
	}
	return dst
}

// appendTelephone is appendSpeech in the formats of telephones, whose sound is a noise.
func appendTelephone(dst []byte, key uint64, from, to int) []byte {
	const samples = phoneRate * soundPerToken / 1000
	for i := from * samples; i < to*samples; i++ {
		dst = append(dst, byte(mix(key+uint64(i))))
	}
	return dst
}
