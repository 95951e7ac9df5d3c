package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/tools/portforward"
)

// forwardProtocol is the protocol of port forwarding. Over a WebSocket it is tunneled.
const forwardProtocol, tunneledProtocol = portforward.PortForwardProtocolV1Name, "SPDY/3.1+" + portforward.PortForwardProtocolV1Name

// apiServer serves what kubectl-podinfo uses of a Kubernetes API server, in its
// protocols: pods with list and watch, their port forwarding, and Secrets.
type apiServer struct {
	t          *testing.T
	kubeconfig string
	websocket  bool // whether it forwards ports over WebSockets too

	mu       sync.Mutex
	version  int
	pods     map[string]*v1.Pod
	ports    map[string]int // of the process that is the pod; 0 for one that never responds
	watchers map[chan metav1.WatchEvent]bool
}

func newAPIServer(t *testing.T, websocket bool) *apiServer {
	a := &apiServer{t: t, websocket: websocket, version: 1, pods: map[string]*v1.Pod{}, ports: map[string]int{}, watchers: map[chan metav1.WatchEvent]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/test/pods", a.list)
	mux.HandleFunc("/api/v1/namespaces/test/pods/{name}/portforward", a.forward)
	mux.HandleFunc("GET /api/v1/namespaces/test/secrets/{name}", a.secret)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer kube" {
			status(w, apierrors.NewUnauthorized("Unauthorized"))
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	a.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: s.URL, InsecureSkipTLSVerify: true}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "kube"}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	if err := clientcmd.WriteToFile(*config, a.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return a
}

// put adds or changes a running pod, after edit, whose metrics port 9797 is the given
// port of this machine.
func (a *apiServer) put(name string, port int, edit func(*v1.Pod)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	p, kind := a.pods[name].DeepCopy(), "MODIFIED"
	if p == nil {
		kind = "ADDED"
		p = &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "test", UID: types.UID(name), Labels: map[string]string{"app": "podinfo"}},
			Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "sidecar"}, {Name: "podinfo", Ports: []v1.ContainerPort{{Name: "http", ContainerPort: 9898}, {Name: "http-metrics", ContainerPort: 9797}}}}},
			Status: v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{{
				Name: "podinfo", ContainerID: "containerd://" + name, State: v1.ContainerState{Running: &v1.ContainerStateRunning{}},
			}}},
		}
	}
	p.ResourceVersion = fmt.Sprint(a.version)
	if edit != nil {
		edit(p)
	}
	a.pods[name], a.ports[name] = p, port
	for w := range a.watchers {
		w <- metav1.WatchEvent{Type: kind, Object: encoded(p)}
	}
}

// list lists the pods, or tells of changes.
func (a *apiServer) list(w http.ResponseWriter, r *http.Request) {
	selector, err := labels.Parse(r.FormValue("labelSelector"))
	if err != nil {
		a.t.Error(err)
	}
	if r.FormValue("sendInitialEvents") != "" {
		status(w, apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil)) // as of older versions
		return
	}
	a.mu.Lock()
	list := v1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, ListMeta: metav1.ListMeta{ResourceVersion: fmt.Sprint(a.version)}}
	for _, p := range a.pods {
		if selector.Matches(labels.Set(p.Labels)) {
			list.Items = append(list.Items, *p)
		}
	}
	if r.FormValue("watch") != "true" && r.FormValue("watch") != "1" {
		a.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(list)
		return
	}
	events := make(chan metav1.WatchEvent, 100)
	for i := range list.Items { // those that changed since the list, which may be sent again
		events <- metav1.WatchEvent{Type: "MODIFIED", Object: encoded(&list.Items[i])}
	}
	a.watchers[events] = true
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.watchers, events)
	}()
	w.Header().Set("Content-Type", "application/json")
	for flush := w.(http.Flusher); ; flush.Flush() {
		select {
		case e := <-events:
			json.NewEncoder(w).Encode(e)
		case <-r.Context().Done():
			return
		}
	}
}

func (a *apiServer) secret(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("name"); name {
	case "podinfo-faults":
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v1.Secret{TypeMeta: metav1.TypeMeta{Kind: "Secret", APIVersion: "v1"}, Data: map[string][]byte{"token": []byte(adminToken + "\n"), "other": []byte("wrong")}})
	case "forbidden":
		status(w, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, name, fmt.Errorf("not allowed")))
	default:
		status(w, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name))
	}
}

// forward forwards the streams of a client to the process that is the pod.
func (a *apiServer) forward(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if a.portOf(name) < 0 {
		status(w, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, name))
		return
	}
	pairs := map[string]httpstream.Stream{} // streams that wait for the other of their pair
	if name == "x-forbidden" {
		status(w, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, name, fmt.Errorf("not allowed")))
		return
	}
	var mu sync.Mutex
	handler := func(s httpstream.Stream, replied <-chan struct{}) error {
		mu.Lock()
		defer mu.Unlock()
		id := s.Headers().Get(v1.PortForwardRequestIDHeader)
		other := pairs[id]
		if other == nil {
			pairs[id] = s
			return nil
		}
		if s.Headers().Get(v1.StreamType) == v1.StreamTypeError {
			s, other = other, s
		}
		if port := a.portOf(name); port != 0 {
			go func() {
				<-replied
				join(s, other, port)
			}()
		}
		return nil
	}
	if websocket.IsWebSocketUpgrade(r) {
		if !a.websocket {
			status(w, apierrors.NewBadRequest("unable to upgrade"))
			return
		}
		upgrader := websocket.Upgrader{Subprotocols: []string{tunneledProtocol}}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			a.t.Error(err)
			return
		}
		conn, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("server", ws), handler)
		if err != nil {
			a.t.Error(err)
			return
		}
		<-conn.CloseChan()
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{forwardProtocol}); err != nil {
		return
	}
	if conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, handler); conn != nil {
		<-conn.CloseChan()
	}
}

// portOf returns the port of the process that is the pod, 0 for one that never responds
// and -1 for none.
func (a *apiServer) portOf(pod string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if port, ok := a.ports[pod]; ok {
		return port
	}
	return -1
}

// join does what a node does with a pair of streams.
func join(data, failure httpstream.Stream, port int) {
	defer data.Close()
	defer failure.Close()
	if got := data.Headers().Get(v1.PortHeader); got != "9797" {
		fmt.Fprintf(failure, "nothing listens on port %s", got)
		return
	}
	conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		fmt.Fprint(failure, "failed to connect to localhost:9797: "+err.Error())
		return
	}
	defer conn.Close()
	go func() {
		io.Copy(conn, data)
		conn.Close()
	}()
	io.Copy(data, conn)
}

// status responds with an error of the API server.
func status(w http.ResponseWriter, err *apierrors.StatusError) {
	s := err.Status()
	s.Kind, s.APIVersion = "Status", "v1"
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(s.Code))
	json.NewEncoder(w).Encode(s)
}

// encoded returns a pod in a watch event.
func encoded(p *v1.Pod) runtime.RawExtension {
	p = p.DeepCopy()
	p.Kind, p.APIVersion = "Pod", "v1"
	return runtime.RawExtension{Object: p}
}
