package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/store"
)

func parseQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("cannot read the query: %v", err)
	}
	return query, nil
}

// etag is the entity tag of a version.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// fresh tells the client's copy, by its tag, and whether it is as good as what there is.
func (c *call) fresh(tag string) bool {
	h := c.x.Header()
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, no-cache")
	for known := range strings.SplitSeq(c.r.Header.Get("If-None-Match"), ",") {
		known = strings.TrimPrefix(strings.TrimSpace(known), "W/")
		if known == tag || known == "*" {
			c.x.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

// expected is the version that a change counts on, as If-Match and If-None-Match say.
func (c *call) expected(kind, name string) (int64, error) {
	match, none := c.r.Header.Get("If-Match"), c.r.Header.Get("If-None-Match")
	switch {
	case match != "" && none != "":
		return 0, invalid("If-Match and If-None-Match exclude each other")
	case none == "*":
		return store.Absent, nil
	case none != "":
		return 0, invalid("If-None-Match is %s; a change takes only *, for what must not be there yet", none)
	case match == "":
		return store.Any, nil
	case match == "*":
		now, err := c.options.Control.Get(c.r.Context(), kind, name)
		if e, is := errors.AsType[*control.Error](err); is && e.Code == codeNotFound {
			return 0, faultf(http.StatusPreconditionFailed, codeConflict, "%s", e.Message)
		}
		return now.Version, err
	}
	text, err := strconv.Unquote(match)
	version, numErr := strconv.ParseInt(text, 10, 64)
	if err != nil || numErr != nil || version < 1 || !strings.HasPrefix(match, `"`) {
		return 0, invalid(`If-Match is %s; want one ETag as GET gives it, such as "42"`, match)
	}
	return version, nil
}

// unmet makes a conflict of a change that counted on another version the failure of its precondition.
func (c *call) unmet(err error, kind, name string, expect int64) error {
	e, is := errors.AsType[*control.Error](err)
	if !is || e.Code != codeConflict || expect == store.Any {
		return err
	}
	now, getErr := c.options.Control.Get(c.r.Context(), kind, name)
	if getErr == nil && now.Version == expect {
		return err
	}
	f := faultOf(err)
	f.status = http.StatusPreconditionFailed
	return f
}
