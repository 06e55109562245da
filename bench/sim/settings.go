package sim

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// settings is how one request is to be answered. They come from the options, then the matching script step,
// then the model's name, then the request's headers; the later wins.
type settings struct {
	ttft      time.Duration
	latency   time.Duration
	tps       float64
	chunks    int
	tokens    int
	reasoning int
	flushEach bool
	fault     fault
	failAfter int           // content events before a fault in mid-stream; -1 is half of them
	failDelay time.Duration // before the first byte under slow
	retry     time.Duration // what a 429 tells
	life      time.Duration // of a WebSocket, from its handshake
	closeCode int           // with which cut-clean closes a WebSocket
	explicit  bool          // fault was asked for by this very request
}

const (
	defaultFailDelay = 30 * time.Second
	defaultRetry     = time.Second
	defaultLife      = time.Hour
	defaultCloseCode = 1011 // an internal error
	headerPrefix     = "X-Sim-"
	settingNames     = "ttft, latency, tps, chunks, tokens, reasoning, flush, fail, fail_after, fail_delay, retry_after, life, close_code"
)

// set changes the setting key. Values are those of the command line: 50ms, 20, event.
func (s *settings) set(key, value string) (err error) {
	switch key {
	case "ttft":
		s.ttft, err = duration(value)
	case "latency":
		s.latency, err = duration(value)
	case "tps":
		s.tps, err = strconv.ParseFloat(value, 64)
	case "chunks":
		s.chunks, err = count(value)
	case "tokens":
		s.tokens, err = count(value)
	case "reasoning":
		s.reasoning, err = count(value)
	case "flush":
		s.flushEach = value == "event"
	case "fail":
		s.explicit = true
		s.fault, err = parseFault(value)
	case "fail_after":
		s.failAfter, err = count(value)
	case "fail_delay":
		s.failDelay, err = duration(value)
	case "retry_after":
		s.retry, err = duration(value)
	case "life":
		s.life, err = duration(value)
	case "close_code":
		s.closeCode, err = closeCode(value)
	default:
		return fmt.Errorf("no setting is named %q; use one of %s", key, settingNames)
	}
	if err != nil {
		return fmt.Errorf("cannot set %s to %q: %w", key, value, err)
	}
	return nil
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		return 0, fmt.Errorf("it must not be negative")
	}
	return d, err
}

func count(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxWanted {
		return 0, fmt.Errorf("it must be a whole number from 0 to %d", maxWanted)
	}
	return n, nil
}

// closeCode reads the status of a WebSocket's close frame; those that must not be sent are refused.
func closeCode(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1000 || n > 4999 || n >= 1004 && n <= 1006 || n >= 1015 && n < 3000 {
		return 0, fmt.Errorf("it must be a code that a close frame may carry: 1000 to 1014 but for 1004 to 1006, or 3000 to 4999")
	}
	return n, nil
}

// setAll applies "key=value;key=value".
func (s *settings) setAll(list string) error {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ";")
		key, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		if key == "" {
			continue
		}
		if err := s.set(key, value); err != nil {
			return err
		}
	}
	return nil
}

// setHeader applies one request header; those of other names than x-sim-… are none of its business.
func (s *settings) setHeader(key, value []byte) (ours bool, err error) {
	if len(key) <= len(headerPrefix) || !bytes.EqualFold(key[:len(headerPrefix)], []byte(headerPrefix)) {
		return false, nil
	}
	return true, s.set(settingName(key), string(value))
}

// settingName is the setting that a header is about.
func settingName(header []byte) string {
	return strings.ReplaceAll(strings.ToLower(string(header[len(headerPrefix):])), "-", "_")
}
