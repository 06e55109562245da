package sim

import (
	"io"
	"mime/multipart"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	maxFiles     = 1000
	maxFileBytes = 64 << 20 // of all files together
)

// file is an uploaded file, or one that a batch has made.
type file struct {
	id, name, purpose string
	created           int64
	content           []byte
}

// fileStore holds the files and batches, in the order of their creation. The oldest files make room for new
// ones.
type fileStore struct {
	mu      sync.Mutex
	files   []file
	batches []batch
	bytes   int
	serial  uint64
}

// add keeps a file and returns it with its id.
func (fs *fileStore) add(f file, seed uint64) file {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.serial++
	r := rng(mix(seed ^ fs.serial<<1))
	f.id, f.created = r.id("file-", 22), time.Now().Unix()
	fs.files = append(fs.files, f)
	fs.bytes += len(f.content)
	for len(fs.files) > 1 && (len(fs.files) > maxFiles || fs.bytes > maxFileBytes) {
		fs.bytes -= len(fs.files[0].content)
		fs.files = append(fs.files[:0:0], fs.files[1:]...)
	}
	return f
}

func (fs *fileStore) get(id string) (file, bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.files {
		if f.id == id {
			return f, true
		}
	}
	return file{}, false
}

func (fs *fileStore) remove(id string) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.files {
		if f.id == id {
			fs.bytes -= len(f.content)
			fs.files = append(fs.files[:i:i], fs.files[i+1:]...)
			return true
		}
	}
	return false
}

func (fs *fileStore) list() []file {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return append([]file(nil), fs.files...)
}

// formFile reads the one file of a multipart field.
func formFile(parts []*multipart.FileHeader) (content []byte, name string, f *failure) {
	if len(parts) == 0 {
		return nil, "", missing("file")
	}
	part, err := parts[0].Open()
	if err != nil {
		return nil, "", invalid("file", "", "Could not read the file: %v.", err)
	}
	defer part.Close()
	content, err = io.ReadAll(part)
	if err != nil {
		return nil, "", invalid("file", "", "Could not read the file: %v.", err)
	}
	return content, parts[0].Filename, nil
}

// postFile answers POST /v1/files.
func postFile(s *Server, ctx *fasthttp.RequestCtx, _ string) (*answer, *failure) {
	form, err := ctx.MultipartForm()
	if err != nil {
		return nil, invalid("", "", "Could not parse multipart form: %v.", err)
	}
	content, name, f := formFile(form.File["file"])
	if f != nil {
		return nil, f
	}
	purpose := string(ctx.FormValue("purpose"))
	if purpose == "" {
		return nil, missing("purpose")
	}
	out := &answer{status: 200, contentType: typeJSON}
	out.putFile(s.files.add(file{name: name, purpose: purpose, content: content}, s.brain.seed))
	return out, nil
}

func (a *answer) putFile(f file) {
	a.put(`{"object":"file","id":"` + f.id + `","purpose":`)
	a.putJSON(f.purpose)
	a.put(`,"filename":`)
	a.putJSON(f.name)
	a.put(`,"bytes":`)
	a.putInt(len(f.content))
	a.put(`,"created_at":`)
	a.putInt(int(f.created))
	a.put(`,"expires_at":null,"status":"processed","status_details":null}`)
}

// getFiles answers GET /v1/files, the newest first.
func getFiles(s *Server, _ *fasthttp.RequestCtx, _ string) (*answer, *failure) {
	list := s.files.list()
	out := &answer{status: 200, contentType: typeJSON}
	out.put(`{"object":"list","data":[`)
	for i := range list {
		if i > 0 {
			out.put(",")
		}
		out.putFile(list[len(list)-1-i])
	}
	out.put(`],"has_more":false}`)
	return out, nil
}

// getFile answers GET /v1/files/{id} and GET /v1/files/{id}/content.
func getFile(s *Server, _ *fasthttp.RequestCtx, arg string) (*answer, *failure) {
	id, wantsContent := strings.CutSuffix(arg, "/content")
	f, ok := s.files.get(id)
	if !ok {
		return nil, noSuch("File", id)
	}
	if wantsContent {
		return &answer{status: 200, contentType: "application/octet-stream", body: f.content}, nil
	}
	out := &answer{status: 200, contentType: typeJSON}
	out.putFile(f)
	return out, nil
}

// deleteFile answers DELETE /v1/files/{id}.
func deleteFile(s *Server, _ *fasthttp.RequestCtx, id string) (*answer, *failure) {
	if !s.files.remove(id) {
		return nil, noSuch("File", id)
	}
	out := &answer{status: 200, contentType: typeJSON}
	out.put(`{"object":"file","deleted":true,"id":`)
	out.putJSON(id)
	out.put("}")
	return out, nil
}

func noSuch(kind, id string) *failure {
	return &failure{status: 404, kind: "invalid_request_error", param: "id", message: "No such " + kind + " object: " + id}
}
