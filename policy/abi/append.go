package abi

import "encoding/binary"

// text is what builders take for text and bytes alike.
type text interface{ ~string | ~[]byte }

// openAction appends the header of an action that is not critical, its length to be filled in by closeAction.
func openAction(dst []byte, t Tag) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(t)) }

// closeAction fills in the length of the payload that begins at, and pads it.
func closeAction(dst []byte, at int) []byte {
	n := len(dst) - at
	binary.LittleEndian.PutUint32(dst[at-4:], uint32(n))
	var padding [3]byte
	return append(dst, padding[:-n&3]...)
}

// AppendAction appends any action.
func AppendAction(dst []byte, a Action) []byte {
	at := len(dst)
	dst = appendRest(dst, a.Tag, a.Payload)
	if a.Critical {
		MarkCritical(dst, at)
	}
	return dst
}

// MarkCritical makes the action that begins at critical.
func MarkCritical(list []byte, at int) { list[at+2] |= FlagCritical }

// AppendTarget chooses a target by its name in the catalog.
func AppendTarget[T text](dst []byte, name T) []byte { return appendRest(dst, TagTarget, name) }

// AppendFallbacks names the targets to try after the first, separated by commas.
func AppendFallbacks[T text](dst []byte, names T) []byte { return appendRest(dst, TagFallbacks, names) }

// AppendModel sends the request to another model: a reference such as bot or bot@1.x.
func AppendModel[T text](dst []byte, reference T) []byte { return appendRest(dst, TagModel, reference) }

// AppendVersion chooses a version of the model, or an arm of the experiment on it.
func AppendVersion[T text](dst []byte, version T) []byte { return appendRest(dst, TagVersion, version) }

// AppendSetHeader sets a header of the request upstream.
func AppendSetHeader[N, V text](dst []byte, name N, value V) []byte {
	return appendPair(dst, TagSetHeader, name, value)
}

// AppendDeleteHeader takes a header out of the request upstream.
func AppendDeleteHeader[T text](dst []byte, name T) []byte {
	return appendRest(dst, TagDeleteHeader, name)
}

// AppendResponseHeader sets a header of the answer to the client.
func AppendResponseHeader[N, V text](dst []byte, name N, value V) []byte {
	return appendPair(dst, TagResponseHeader, name, value)
}

// AppendDeny refuses the request with an HTTP status of 400 to 599, the seconds after which to try again (0: do not
// say), and a message for the client.
func AppendDeny[T text](dst []byte, status, retryAfter uint16, message T) []byte {
	dst = openAction(dst, TagDeny)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint16(dst, status)
	dst = binary.LittleEndian.AppendUint16(dst, retryAfter)
	return closeAction(append(dst, message...), at)
}

// AppendCacheSalt adds bytes to the cache key.
func AppendCacheSalt[T text](dst []byte, salt T) []byte { return appendRest(dst, TagCacheSalt, salt) }

// AppendCache says whether and for how many seconds (0: as the model says) the answer is cached.
func AppendCache(dst []byte, mode, ttl uint32) []byte {
	dst = openAction(dst, TagCache)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, mode)
	return closeAction(binary.LittleEndian.AppendUint32(dst, ttl), at)
}

// AppendMetric tags the request in metrics and logs.
func AppendMetric[K, V text](dst []byte, key K, value V) []byte {
	return appendPair(dst, TagMetric, key, value)
}

// Patch is one edit of the request's body: at Offset, take Delete bytes away and put Insert in their place.
type Patch struct {
	Offset, Delete uint32
	Insert         []byte
}

// AppendPatches edits the body. The patches must be sorted and must not overlap.
func AppendPatches(dst []byte, patches ...Patch) []byte {
	dst = openAction(dst, TagPatches)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(patches)))
	for _, p := range patches {
		dst = binary.LittleEndian.AppendUint32(dst, p.Offset)
		dst = binary.LittleEndian.AppendUint32(dst, p.Delete)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(p.Insert)))
	}
	for _, p := range patches {
		dst = append(dst, p.Insert...)
	}
	return closeAction(dst, at)
}

// AppendBody replaces the whole body.
func AppendBody[T text](dst []byte, body T) []byte { return appendRest(dst, TagBody, body) }

// AppendSystem puts plain text before the system text, or in its place.
func AppendSystem[T text](dst []byte, mode uint32, text T) []byte {
	return appendNumbered(dst, TagSystem, mode, text)
}

// AppendMessage replaces the text of one message.
func AppendMessage[T text](dst []byte, index uint32, text T) []byte {
	return appendNumbered(dst, TagMessage, index, text)
}

// AppendMaxTokens bounds the tokens of the answer.
func AppendMaxTokens(dst []byte, n uint32) []byte { return appendUint(dst, TagMaxTokens, n) }

// AppendTimeout bounds the time that an attempt may take, in milliseconds.
func AppendTimeout(dst []byte, ms uint32) []byte { return appendUint(dst, TagTimeout, ms) }

// AppendLog writes a line to the node's log.
func AppendLog[T text](dst []byte, level uint32, text T) []byte {
	return appendNumbered(dst, TagLog, level, text)
}

// AppendKVPut keeps a value for ttl seconds (0: while the node runs).
func AppendKVPut[K, V text](dst []byte, ttl uint32, key K, value V) []byte {
	dst = openAction(dst, TagKVPut)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, ttl)
	return closeAction(append(appendName(dst, key), value...), at)
}

// AppendKVAdd adds to a counter, which begins at 0 and is kept for ttl seconds (0: while the node runs).
func AppendKVAdd[K text](dst []byte, delta int64, ttl uint32, key K) []byte {
	dst = openAction(dst, TagKVAdd)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(delta))
	dst = binary.LittleEndian.AppendUint32(dst, ttl)
	return closeAction(append(dst, key...), at)
}

// AppendHedge starts a second attempt if the first has not begun to answer after so many milliseconds.
func AppendHedge(dst []byte, ms uint32) []byte { return appendUint(dst, TagHedge, ms) }

// AppendShadow sends a copy of the request to a target whose answer nobody gets.
func AppendShadow[T text](dst []byte, name T) []byte { return appendRest(dst, TagShadow, name) }

// AppendAnswer answers in the provider's place.
func AppendAnswer[T text](dst []byte, text T) []byte { return appendRest(dst, TagAnswer, text) }

// AppendState leaves at most MaxState bytes for the request's next call.
func AppendState[T text](dst []byte, state T) []byte { return appendRest(dst, TagState, state) }

// AppendText replaces the text of a chunk or response.
func AppendText[T text](dst []byte, text T) []byte { return appendRest(dst, TagText, text) }

// AppendDrop keeps the chunk back.
func AppendDrop(dst []byte) []byte { return appendRest(dst, TagDrop, "") }

// AppendStop ends the stream well after this chunk.
func AppendStop[T text](dst []byte, reason T) []byte { return appendRest(dst, TagStop, reason) }

func appendRest[T text](dst []byte, t Tag, rest T) []byte {
	dst = openAction(dst, t)
	at := len(dst)
	return closeAction(append(dst, rest...), at)
}

func appendUint(dst []byte, t Tag, n uint32) []byte { return appendNumbered(dst, t, n, "") }

func appendNumbered[T text](dst []byte, t Tag, n uint32, rest T) []byte {
	dst = openAction(dst, t)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, n)
	return closeAction(append(dst, rest...), at)
}

func appendPair[N, V text](dst []byte, t Tag, name N, value V) []byte {
	dst = openAction(dst, t)
	at := len(dst)
	return closeAction(append(appendName(dst, name), value...), at)
}

func appendName[T text](dst []byte, name T) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(name)))
	return append(dst, name...)
}
