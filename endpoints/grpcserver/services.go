package grpcserver

import (
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// A Service is a module that also speaks gRPC.
type Service interface {
	// RegisterGRPC registers the module's services. Like Routes it must have no
	// side effects: it is called more than once, the first time before Provision.
	RegisterGRPC(grpc.ServiceRegistrar)
}

// Services is the capability of Service.
var Services = registry.NewCapability[Service](
	func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("RegisterGRPC") })

// service is one service of a module.
type service struct {
	desc   *grpc.ServiceDesc
	impl   any
	module string
}

// methods returns the full names of the service's methods.
func (s service) methods() (out []string) {
	for _, d := range s.desc.Methods {
		out = append(out, "/"+s.desc.ServiceName+"/"+d.MethodName)
	}
	for _, d := range s.desc.Streams {
		out = append(out, "/"+s.desc.ServiceName+"/"+d.StreamName)
	}
	return out
}

// registrar collects the modules' services. It turns mistakes for which grpc-go
// would end the process into errors.
type registrar struct {
	module   string // the module that is registering its services
	services []service
	errs     []error
}

// RegisterService implements grpc.ServiceRegistrar. As in grpc-go, impl may be nil for
// a service whose handlers need none, and its HandlerType is not looked at then.
func (s *registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if impl != nil {
		if want := reflect.TypeOf(desc.HandlerType).Elem(); !reflect.TypeOf(impl).Implements(want) {
			s.errs = append(s.errs, fmt.Errorf("module %s: %T is not a %v", s.module, impl, want))
			return
		}
	}
	if rpc.IsInternal("/" + desc.ServiceName) {
		s.errs = append(s.errs, fmt.Errorf("module %s: service %s is reserved for grpc-server", s.module, desc.ServiceName))
		return
	}
	for _, x := range s.services {
		if x.desc.ServiceName == desc.ServiceName {
			s.errs = append(s.errs, fmt.Errorf("modules %s and %s both serve %s", x.module, s.module, desc.ServiceName))
			return
		}
	}
	s.services = append(s.services, service{desc, impl, s.module})
}

// collect returns the services of the modules that are on or on standby.
func collect(h *registry.Host) ([]service, error) {
	s := new(registrar)
	for _, m := range h.Modules() {
		if m.State == registry.Off {
			continue
		}
		s.module = m.Info.Name
		if err := Services.Check(m.Module); err != nil {
			s.errs = append(s.errs, fmt.Errorf("module %s: %w", m.Info.Name, err))
		}
		if x, ok := m.Module.(Service); ok {
			x.RegisterGRPC(s)
		}
	}
	return s.services, errors.Join(s.errs...)
}

// ListRPCs returns the module of each full method, for a guard.
func (m *Module) ListRPCs() map[string]string {
	out := map[string]string{}
	for _, s := range m.services {
		for _, method := range s.methods() {
			out[method] = s.module
		}
	}
	return out
}

// reflected is the server as the reflection service lists it: without the services
// of modules that are switched off.
type reflected struct {
	*grpc.Server
	module *Module
}

// GetServiceInfo implements reflection.ServiceInfoProvider.
func (s reflected) GetServiceInfo() map[string]grpc.ServiceInfo {
	out := s.Server.GetServiceInfo()
	for name := range out {
		if s.module.hidden(name) {
			delete(out, name)
		}
	}
	return out
}

// hidden reports whether the service belongs to a module that is switched off.
func (m *Module) hidden(name string) bool {
	for _, s := range m.services {
		if s.desc.ServiceName == name {
			return !m.host.Assembly().Linked(s.module)
		}
	}
	return false
}
