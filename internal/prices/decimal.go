package prices

import (
	"math"
	"strconv"
	"strings"
)

// most is the greatest price that a catalog takes: pico-USD for a token, nano-USD for other things.
const most = 1_000_000_000_000

// fixed reads a JSON number as an integer of so many decimal places, rounded half up where it has more. It refuses what is
// negative, above most or not a number.
func fixed(text string, places int) (n int64, ok bool) {
	mantissa, exponent := text, 0
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[at+1:]); err != nil || exponent < -400 || exponent > 400 {
			return 0, false
		}
		mantissa = text[:at]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, false
	}
	// the value is 0.digits times 10^point, and wanted are that many digits of it
	point := exponent + len(whole) - (len(whole+fraction) - len(digits))
	want := point + places
	switch {
	case digits == "" || want < 0:
		return 0, true
	case want > 13: // above most
		return 0, false
	}
	for len(digits) <= want {
		digits += "0"
	}
	for _, d := range digits[:want] {
		n = n*10 + int64(d-'0')
	}
	if digits[want] >= '5' {
		n++
	}
	return n, n <= most
}

// AppendDecimal appends n / 10^places as a decimal number without trailing zeros.
func AppendDecimal(dst []byte, n int64, places int) []byte {
	left := uint64(n)
	if n < 0 {
		dst, left = append(dst, '-'), -left
	}
	scale := uint64(math.Pow10(places))
	dst = strconv.AppendUint(dst, left/scale, 10)
	left %= scale
	if left == 0 {
		return dst
	}
	dst = append(dst, '.')
	for scale /= 10; left > 0; scale /= 10 {
		dst = append(dst, byte('0'+left/scale))
		left %= scale
	}
	return dst
}
