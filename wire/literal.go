package wire

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var decimalText = regexp.MustCompile(`^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([-+]?[0-9]{1,2}))?$`)

var (
	errNotDecimal = errors.New("is not a decimal number")
	errTooFine    = errors.New("has more decimals than can be kept")
	errTooLarge   = errors.New("is too large")
)

// parseDecimal returns the literal s times 10 to the power of scale, exactly: no float stands between.
func parseDecimal(s string, scale int) (int64, error) {
	parts := decimalText.FindStringSubmatch(s)
	if parts == nil {
		return 0, errNotDecimal
	}
	exponent, _ := strconv.Atoi(parts[4])
	exponent += scale - len(parts[3])
	digits := strings.TrimLeft(parts[2]+parts[3], "0")
	for ; exponent < 0 && strings.HasSuffix(digits, "0"); exponent++ {
		digits = digits[:len(digits)-1]
	}
	switch {
	case digits == "":
		return 0, nil
	case exponent < 0:
		return 0, errTooFine
	case len(digits)+exponent > 19:
		return 0, errTooLarge
	}
	n, err := strconv.ParseInt(parts[1]+digits+strings.Repeat("0", exponent), 10, 64)
	if err != nil {
		return 0, errTooLarge
	}
	return n, nil
}

var durationText = regexp.MustCompile(`^(?:([0-9]{1,5})d)?([0-9].*)?$`)

// parseDuration is time.ParseDuration without signs and with whole days in front: 30d, 1d12h, 500ms.
func parseDuration(s string) (time.Duration, bool) {
	parts := durationText.FindStringSubmatch(s)
	if parts == nil || s == "" {
		return 0, false
	}
	days, _ := strconv.Atoi(parts[1])
	d := time.Duration(days) * 24 * time.Hour
	if parts[2] == "" {
		return d, true
	}
	rest, err := time.ParseDuration(parts[2])
	return d + rest, err == nil && d+rest >= 0
}

var (
	rateText = regexp.MustCompile(`^([0-9]+)([kMG]?)/([smhd])$`)
	sizeText = regexp.MustCompile(`^([0-9]+)(B|KB|KiB|MB|MiB|GB|GiB)$`)

	magnitudes = map[string]int64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
	periods    = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	byteUnits  = map[string]int64{"B": 1, "KB": 1e3, "KiB": 1 << 10, "MB": 1e6, "MiB": 1 << 20, "GB": 1e9, "GiB": 1 << 30}
)

// parseRate reads 100/s or 1M/m.
func parseRate(s string) (count int64, per time.Duration, ok bool) {
	parts := rateText.FindStringSubmatch(s)
	if parts == nil {
		return 0, 0, false
	}
	count, ok = multiply(parts[1], magnitudes[parts[2]])
	return count, periods[parts[3]], ok
}

// parseSize reads a number of bytes such as 16MiB.
func parseSize(s string) (int64, bool) {
	parts := sizeText.FindStringSubmatch(s)
	if parts == nil {
		return 0, false
	}
	return multiply(parts[1], byteUnits[parts[2]])
}

func multiply(digits string, unit int64) (int64, bool) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

// parsePercent reads -2% or 2.5% and returns its one canonical spelling.
func parsePercent(s string) (string, bool) {
	digits, ok := strings.CutSuffix(s, "%")
	micro, err := parseDecimal(digits, 6)
	if !ok || err != nil || micro < -1e12 || micro > 1e12 {
		return "", false
	}
	return strconv.FormatFloat(float64(micro)/1e6, 'f', -1, 64) + "%", true
}
