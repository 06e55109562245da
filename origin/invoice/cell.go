package invoice

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// layouts are dates as exports write them.
var layouts = []string{
	time.DateOnly, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 MST",
	"2006-01-02T15:04Z07:00", "2006-01-02 15:04", "2006/01/02", "2006/1/2", "20060102", "2.1.2006", "Jan 2, 2006", "January 2, 2006",
	"2 Jan 2006", "2 January 2006", "2-Jan-2006", "Jan 2 2006",
}

// slashed are the three numbers of a date such as 1/2/2026.
func slashed(date string) (first, second, year int, ok bool) {
	date, _, _ = strings.Cut(date, " ")
	parts := strings.Split(date, "/")
	if len(parts) != 3 || len(parts[2]) != 4 {
		return 0, 0, 0, false
	}
	var n [3]int
	for i, p := range parts {
		var err error
		if n[i], err = strconv.Atoi(p); err != nil {
			return 0, 0, 0, false
		}
	}
	return n[0], n[1], n[2], true
}

// order tells whether days stand before months where both are numbers.
func order(rows []cells, said string) (daysFirst bool, err error) {
	switch said {
	case "dmy", "mdy":
		return said == "dmy", nil
	case "":
	default:
		return false, fmt.Errorf("cannot read dates as %q: use dmy or mdy", said)
	}
	var days, months, any bool
	for _, r := range rows {
		first, second, _, ok := slashed(r.date)
		any = any || ok
		days, months = days || ok && first > 12, months || ok && second > 12
	}
	switch {
	case days && months:
		return false, errors.New("in some of its dates days stand first, and in others months")
	case any && !days && !months:
		return false, errors.New("in none of its dates it shows whether the day or the month stands first: say dates=dmy or dates=mdy")
	}
	return days, nil
}

// parseDay reads a date, a time or seconds since 1970 as a day in UTC.
func parseDay(text string, daysFirst bool) (string, error) {
	bad := fmt.Errorf("cannot read %.40q as a date", text)
	at := time.Time{}
	if n, err := strconv.ParseFloat(text, 64); err == nil && len(text) >= 9 && n >= 1e9 && n < 1e13 {
		if n >= 1e11 {
			n /= 1000 // milliseconds
		}
		at = time.Unix(int64(n), 0)
	} else if first, second, year, ok := slashed(text); ok {
		if daysFirst {
			first, second = second, first
		}
		at = time.Date(year, time.Month(first), second, 0, 0, 0, 0, time.UTC)
		if at.Day() != second || int(at.Month()) != first {
			return "", bad
		}
	}
	for _, l := range layouts {
		if !at.IsZero() {
			break
		}
		if t, err := time.Parse(l, text); err == nil {
			at = t
		}
	}
	if at = at.UTC(); at.Year() < 2000 || at.Year() > 2999 {
		return "", bad
	}
	return at.Format(time.DateOnly), nil
}

// blanks stand between groups of three digits, and around signs of currencies.
var blanks = strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "", "\u2009", "", "'", "", "’", "", "_", "")

// decimalSign is what stands before the cents, as far as the amounts of a file show it.
func decimalSign(rows []cells, comma rune) (byte, error) {
	var points, commas bool
	for _, r := range rows {
		text := blanks.Replace(r.cost)
		dot, com := strings.LastIndexByte(text, '.'), strings.LastIndexByte(text, ',')
		switch {
		case dot >= 0 && com >= 0:
			points, commas = points || dot > com, commas || com > dot
		case dot >= 0:
			points = points || decides(text, '.')
			commas = commas || strings.Count(text, ".") > 1
		case com >= 0:
			commas = commas || decides(text, ',')
			points = points || strings.Count(text, ",") > 1
		}
	}
	switch {
	case points && commas:
		return 0, errors.New("in some of its amounts cents stand after a point, and in others after a comma")
	case commas:
		return ',', nil
	case !points && comma == ';' && !anyPoint(rows):
		return ',', nil
	}
	return '.', nil
}

func anyPoint(rows []cells) bool {
	for _, r := range rows {
		if strings.Contains(r.cost, ".") {
			return true
		}
	}
	return false
}

// decides tells whether the one sign in a number can be no mark of thousands.
func decides(text string, sign byte) bool {
	i := strings.LastIndexByte(text, sign)
	before, after := strings.TrimLeft(text[:i], "$+-("), strings.TrimRight(text[i+1:], ")")
	return strings.IndexByte(text, sign) == i && (len(after) != 3 || len(before) > 3 || before == "" || before[0] == '0')
}

const (
	places    = 18 // decimals of an amount as it is added up
	maxDigits = 60
)

var scale = new(big.Int).Exp(big.NewInt(10), big.NewInt(places-9), nil) // of a nano-USD

// parseAmount reads an amount of USD, in units of 10^-18.
func parseAmount(text string, decimal byte) (*big.Int, error) {
	bad := fmt.Errorf("cannot read %.40q as an amount of USD", text)
	t := blanks.Replace(text)
	if inner, is := strings.CutPrefix(t, "("); is && strings.HasSuffix(inner, ")") { // as accountants write what is negative
		t = "-" + strings.TrimSuffix(inner, ")")
	}
	t, negative := strings.CutPrefix(t, "-")
	t = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(t, "+"), "US"), "$"), "USD")
	if strings.ContainsAny(text, "€£¥₹") {
		return nil, fmt.Errorf("%.40q is not in USD: only USD can be compared", text)
	}
	exponent := 0
	if i := strings.IndexAny(t, "eE"); i >= 0 {
		n, err := strconv.Atoi(t[i+1:])
		if err != nil || n < -places*2 || n > 12 {
			return nil, bad
		}
		t, exponent = t[:i], n
	}
	thousands := ","
	if decimal == ',' {
		thousands = "."
	}
	whole, part, _ := strings.Cut(t, string(decimal))
	groups := strings.Split(whole, thousands)
	for _, g := range groups[1:] {
		if len(g) != 3 || len(groups[0]) > 3 {
			return nil, bad
		}
	}
	digits := strings.Join(groups, "") + part
	if digits == "" || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" || len(groups) > 1 && groups[0] == "" {
		return nil, bad
	}
	n, _ := new(big.Int).SetString(digits, 10)
	shift := places + exponent - len(part)
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(shift, -shift))), nil)
	if shift >= 0 {
		n.Mul(n, power)
	} else {
		n = rounded(n, power)
	}
	if negative {
		n.Neg(n)
	}
	return n, nil
}

// rounded is n / by, to the nearest.
func rounded(n, by *big.Int) *big.Int {
	half := new(big.Int).Rsh(by, 1)
	if n.Sign() < 0 {
		half.Neg(half)
	}
	return new(big.Int).Quo(half.Add(half, n), by)
}

// nanoOf is a sum in nano-USD.
func nanoOf(n *big.Int) (int64, bool) {
	nano := rounded(n, scale)
	return nano.Int64(), nano.IsInt64() && nano.BitLen() < 62
}
