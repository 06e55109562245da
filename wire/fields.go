package wire

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"
)

// str is the text of a string; anything else is a problem.
func (v value) str() (string, bool) {
	if tag := v.node.ShortTag(); v.node.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!timestamp") {
		return v.node.Value, true
	}
	hint := ""
	if v.node.Kind == yaml.ScalarNode && !isNull(v.node) {
		hint = "; put it in quotes"
	}
	v.failf("want a string, found %s%s", describe(v.node), hint)
	return "", false
}

// text reads a string of at most 1,024 bytes that is not empty and has no control characters.
func text(dst *string) reader {
	return func(v value) {
		s, ok := v.str()
		if !ok {
			return
		}
		*dst = s
		if s == "" || len(s) > 1024 || strings.ContainsFunc(s, isControl) {
			v.failf("want 1 to 1024 bytes without control characters")
		}
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// template reads a string that may have several lines.
func template(dst *string) reader {
	return func(v value) {
		s, ok := v.str()
		if *dst = s; ok && s == "" {
			v.failf("the template is empty")
		}
	}
}

var nameText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:+-]{0,127}$`)

// name reads what other parts of the catalog, headers and metrics call a thing by.
func name(dst *string) reader {
	return func(v value) {
		s, ok := v.str()
		if !ok {
			return
		}
		*dst = s
		if err := CheckName(s); err != nil {
			v.failf("%s", err)
		}
	}
}

// CheckName says why a catalog can call nothing by a name, or nil.
func CheckName(s string) error {
	if nameText.MatchString(s) {
		return nil
	}
	return fmt.Errorf("%s is not a name; use at most 128 letters, digits and . _ - / : +, beginning with a letter or digit", show(s))
}

// named is one name of a list.
func named(v value) string {
	var s string
	name(&s)(v)
	return s
}

// oneOf reads one of the words of a closed list.
func oneOf(dst *string, allowed ...string) reader {
	return func(v value) {
		s, ok := v.str()
		if !ok {
			return
		}
		if !slices.Contains(allowed, s) {
			v.failf("%s is not one of %s", show(s), words(allowed))
			return
		}
		*dst = s
	}
}

// set reads a list of words of which none may stand twice.
func set(dst *[]string, least int, read func(value) string) reader {
	return func(v value) {
		list(dst, least, read)(v)
		for i, word := range *dst {
			if word != "" && slices.Contains((*dst)[:i], word) {
				v.locate(i).failf("%s is listed twice", show(word))
			}
		}
	}
}

// wordOf is one item of a list of words from a closed list.
func wordOf(allowed ...string) func(value) string {
	return func(v value) string {
		var s string
		oneOf(&s, allowed...)(v)
		return s
	}
}

var integerText = regexp.MustCompile(`^-?[0-9]{1,18}$`)

// integer reads a number without decimals between two bounds.
func integer(dst *int, least, most int) reader {
	return func(v value) {
		if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!int" || !integerText.MatchString(v.node.Value) {
			v.failf("want an integer in plain digits, found %s", describe(v.node))
			return
		}
		n, _ := strconv.Atoi(v.node.Value)
		*dst = n
		switch {
		case n < 0 && least >= 0:
			v.failf("%d is negative; want %d to %d", n, least, most)
		case n < least || n > most:
			v.failf("%d is out of range; want %d to %d", n, least, most)
		}
	}
}

// integerOf is one integer of a list.
func integerOf(least, most int) func(value) int {
	return func(v value) int {
		var n int
		integer(&n, least, most)(v)
		return n
	}
}

// boolean reads true or false.
func boolean(dst *bool) reader {
	return func(v value) {
		if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!bool" {
			v.failf("want true or false, found %s", describe(v.node))
			return
		}
		*dst = strings.EqualFold(v.node.Value, "true")
	}
}

// knownBoolean reads true or false where silence means unknown.
func knownBoolean(dst **bool) reader {
	return func(v value) {
		*dst = new(bool)
		boolean(*dst)(v)
	}
}

// duration reads a time span of at least least.
func duration(dst *time.Duration, least time.Duration) reader {
	return func(v value) {
		d, ok := parseDuration(v.node.Value)
		switch {
		case v.node.Kind != yaml.ScalarNode || !ok:
			v.failf("want a duration such as 500ms, 20s, 1h30m or 30d, found %s", found(v))
		case d < least:
			v.failf("%s is too short; want at least %s", show(v.node.Value), least)
		}
		*dst = d
	}
}

// found quotes a scalar that is no secret and describes anything else.
func found(v value) string {
	if v.node.Kind == yaml.ScalarNode && !isNull(v.node) {
		return show(v.node.Value)
	}
	return describe(v.node)
}

// size reads a number of bytes.
func size(dst *int64, least, most int64) reader {
	return func(v value) {
		n, ok := parseSize(v.node.Value)
		switch {
		case v.node.Kind != yaml.ScalarNode || !ok:
			v.failf("want a size such as 512KiB or 16MiB, found %s", found(v))
		case n < least || n > most:
			v.failf("%s is out of range; want %d to %d bytes", show(v.node.Value), least, most)
		}
		*dst = n
	}
}

// rate reads how many per how long.
func rate(count *int64, per *time.Duration) reader {
	return func(v value) {
		n, p, ok := parseRate(v.node.Value)
		if v.node.Kind != yaml.ScalarNode || !ok || n == 0 {
			v.failf("want a rate above zero such as 100/s, 10k/m or 1M/h, found %s", found(v))
		}
		*count, *per = n, p
	}
}

// decimal reads an exact decimal number from zero on as a multiple of 10 to the power of -scale.
func decimal(dst *int64, scale int, most int64) reader {
	return func(v value) {
		n, err := parseDecimal(v.node.Value, scale)
		switch {
		case v.node.Kind != yaml.ScalarNode || err == errNotDecimal:
			v.failf("want a decimal number such as 0.25, found %s", found(v))
		case err != nil:
			v.failf("%s %v; want at most %d decimals and a number below 10^%d", show(v.node.Value), err, scale, 18-scale)
		case n < 0:
			v.failf("%s is negative", show(v.node.Value))
		case n > most:
			v.failf("%s is too large", show(v.node.Value))
		}
		*dst = max(n, 0)
	}
}

// percent reads a change such as -2%.
func percent(dst *string) reader {
	return func(v value) {
		s, ok := parsePercent(v.node.Value)
		if v.node.Kind != yaml.ScalarNode || !ok {
			v.failf("want a percentage such as -2%%, found %s", found(v))
		}
		*dst = s
	}
}

// semantic reads a version number. It takes any scalar, so that 1.0 is told what it lacks, not what YAML made of it.
func semantic(dst *string) reader {
	return func(v value) {
		if *dst = v.node.Value; !isSemantic(*dst) {
			v.failf("%s is not a semantic version; write MAJOR.MINOR.PATCH such as 1.0.0", found(v))
		}
	}
}

func isSemantic(s string) bool {
	_, err := semver.StrictNewVersion(s)
	return err == nil
}

// baseURL reads the address that a provider's paths are appended to. It may hold credentials, so it is not echoed.
func baseURL(dst *string) reader {
	return func(v value) {
		s, ok := v.str()
		if !ok {
			return
		}
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || !validHost(u):
			v.failf("want a URL such as https://api.example.com/v1")
		case u.User != nil:
			v.failf("the URL must not hold credentials; use api_key")
		case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
			v.failf("the URL must end with its path, without ? and #")
		default:
			*dst = strings.TrimRight(s, "/")
		}
	}
}

func validHost(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if strings.HasSuffix(u.Host, ":") || u.Port() != "" && (err != nil || port == 0) {
		return false
	}
	return u.Hostname() != "" && !strings.ContainsFunc(u.Hostname(), func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// secretRef reads a reference to a secret and never echoes what it found: it may be the secret.
func secretRef(dst *string) reader {
	return func(v value) {
		if v.node.Kind != yaml.ScalarNode || !IsSecretRef(v.node.Value) {
			v.failf("want a reference to a secret: ${ENV}, file:/path or origin:name, never the secret itself")
			return
		}
		*dst = v.node.Value
	}
}
