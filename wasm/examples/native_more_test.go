package examples

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"regexp"
	"strings"

	"github.com/wedge-proxy/wedge/policy/abi"
)

var errConfig = errors.New("the config is refused")

func nativeTiers(config []byte) (*native, error) {
	c := struct {
		Window  int64              `json:"window_s"`
		Cheaper string             `json:"cheaper"`
		Micro   map[string]float64 `json:"micro_usd"`
	}{Window: 86400}
	if err := json.Unmarshal(config, &c); err != nil || c.Micro == nil || c.Window <= 0 {
		return nil, errConfig
	}
	spent := map[string]int64{}
	request := func(in *abi.Request, dst []byte) ([]byte, error) {
		tenant := string(in.Tenant)
		dst = abi.AppendState(dst, tenant)
		limit, ok := c.Micro[tenant]
		if !ok {
			limit, ok = c.Micro["*"]
		}
		ceiling := int64(limit) * 1000
		switch {
		case !ok:
		case spent[tenant] >= ceiling:
			dst = abi.AppendDeny(dst, 429, 3600, "The tenant has spent what it may.")
		case c.Cheaper != "" && spent[tenant] >= ceiling/5*4:
			dst = abi.AppendModel(dst, c.Cheaper)
		}
		return dst, nil
	}
	done := func(in *abi.Done, dst []byte) ([]byte, error) {
		if in.CostNanoUSD != math.MaxUint64 && len(in.State) > 0 {
			spent[string(in.State)] += int64(in.CostNanoUSD)
		}
		return dst, nil
	}
	return &native{request: request, done: done}, nil
}

func nativeGuard(config []byte) (*native, error) {
	var c struct {
		Phrases []string `json:"phrases"`
		Observe bool     `json:"observe"`
	}
	if err := json.Unmarshal(config, &c); err != nil || c.Phrases == nil {
		return nil, errConfig
	}
	var patterns []*regexp.Regexp
	for _, phrase := range c.Phrases {
		if phrase == "" {
			return nil, errConfig
		}
		words := regexp.MustCompile(" +").Split(phrase, -1)
		for i := range words {
			words[i] = regexp.QuoteMeta(words[i])
		}
		patterns = append(patterns, regexp.MustCompile(`(?i)`+strings.Join(words, `[ \t\r\n]+`)))
	}
	return &native{request: func(in *abi.Request, dst []byte) ([]byte, error) {
		for i, p := range patterns {
			if !p.Match(in.LastUser) {
				continue
			}
			dst = abi.AppendMetric(dst, "guard", fmt.Sprintf("%02d", i))
			if !c.Observe {
				dst = abi.AppendDeny(dst, 403, 0, "The prompt looks like an attempt to change the instructions.")
			}
			break
		}
		return dst, nil
	}}, nil
}

// sdkHash is the SDKs' hash: FNV-1a from another start, mixed.
func sdkHash(seed uint64, text []byte) uint64 {
	f := fnv.New64a()
	state, _ := f.(interface{ MarshalBinary() ([]byte, error) }).MarshalBinary()
	at := len(state) - 8
	binary.BigEndian.PutUint64(state[at:], binary.BigEndian.Uint64(state[at:])^seed)
	if err := f.(interface{ UnmarshalBinary([]byte) error }).UnmarshalBinary(state); err != nil {
		panic(err)
	}
	_, _ = f.Write(text)
	h := f.Sum64()
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

func nativeCanary(config []byte) (*native, error) {
	c := struct {
		Version string `json:"version"`
		Percent int64  `json:"percent"`
		Salt    string `json:"salt"`
	}{Percent: -1}
	if err := json.Unmarshal(config, &c); err != nil || c.Version == "" || c.Percent < 0 || c.Percent > 100 {
		return nil, errConfig
	}
	salt := sdkHash(0, []byte(c.Salt))
	return &native{request: func(in *abi.Request, dst []byte) ([]byte, error) {
		unit := in.User
		if len(unit) == 0 {
			unit = in.Tenant
		}
		if sdkHash(salt, unit)%100 < uint64(c.Percent) {
			return abi.AppendMetric(abi.AppendVersion(dst, c.Version), "canary", "yes"), nil
		}
		return abi.AppendMetric(dst, "canary", "no"), nil
	}}, nil
}

func nativeCutter(config []byte) (*native, error) {
	c := struct {
		Model  string `json:"model"`
		Tokens int64  `json:"tokens"`
	}{Tokens: 400}
	if err := json.Unmarshal(config, &c); err != nil || c.Tokens < 0 {
		return nil, errConfig
	}
	const special = abi.FlagTools | abi.FlagImages | abi.FlagJSONOutput
	return &native{request: func(in *abi.Request, dst []byte) ([]byte, error) {
		if c.Model != "" && in.Flags&special == 0 && int64(in.PromptTokens) <= c.Tokens {
			return abi.AppendModel(dst, c.Model), nil
		}
		var best *abi.Target
		for i := range in.Targets {
			t := &in.Targets[i]
			if t.Flags != abi.TargetHealthy || t.PriceIn == math.MaxUint32 || t.PriceOut == math.MaxUint32 {
				continue
			}
			if best == nil || uint64(t.PriceIn)+uint64(t.PriceOut) < uint64(best.PriceIn)+uint64(best.PriceOut) {
				best = t
			}
		}
		if best != nil {
			dst = abi.AppendTarget(dst, best.Name)
		}
		return dst, nil
	}}, nil
}

func nativeRules(config []byte) (*native, error) {
	var c struct {
		Rules []struct {
			If struct {
				Tenant    *string           `json:"tenant"`
				MinTokens uint32            `json:"min_tokens"`
				Headers   map[string]string `json:"headers"`
			} `json:"if"`
			Then json.RawMessage `json:"then"`
		} `json:"rules"`
	}
	if err := json.Unmarshal(config, &c); err != nil || c.Rules == nil {
		return nil, errConfig
	}
	return &native{request: func(in *abi.Request, dst []byte) ([]byte, error) {
		for _, rule := range c.Rules {
			fits := rule.If.Tenant == nil || *rule.If.Tenant == string(in.Tenant)
			fits = fits && in.PromptTokens >= rule.If.MinTokens
			for name, value := range rule.If.Headers {
				fits = fits && bytes.Equal(header(in, name), []byte(value))
			}
			if fits {
				return abi.AppendFromJSON(dst, rule.Then)
			}
		}
		return dst, nil
	}}, nil
}
