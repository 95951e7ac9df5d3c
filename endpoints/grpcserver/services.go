package grpcserver

import (
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// A Service is a module that also speaks gRPC.
type Service interface {
	// RegisterGRPC is pure, like Routes: it is called more than once, for the
	// first time before Provision.
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

// methods are the full names of the service's methods.
func (s service) methods() (out []string) {
	for _, d := range s.desc.Methods {
		out = append(out, "/"+s.desc.ServiceName+"/"+d.MethodName)
	}
	for _, d := range s.desc.Streams {
		out = append(out, "/"+s.desc.ServiceName+"/"+d.StreamName)
	}
	return out
}

// shelf collects the services of one module after the other. What grpc-go
// would end the process for is an error here.
type shelf struct {
	module   string // whose turn it is
	services []service
	errs     []error
}

// RegisterService implements grpc.ServiceRegistrar.
func (s *shelf) RegisterService(desc *grpc.ServiceDesc, impl any) {
	want := reflect.TypeOf(desc.HandlerType).Elem()
	if !reflect.TypeOf(impl).Implements(want) {
		s.errs = append(s.errs, fmt.Errorf("module %s: %T is not a %v", s.module, impl, want))
		return
	}
	if internal("/" + desc.ServiceName) {
		s.errs = append(s.errs, fmt.Errorf("module %s: %s is served already", s.module, desc.ServiceName))
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

// collect asks the modules that are on or on standby for their services.
func collect(h *registry.Host) ([]service, error) {
	s := new(shelf)
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

// ListRPCs lists the full methods of the modules' services, for a guard.
func (m *Module) ListRPCs() (out []string) {
	for _, s := range m.services {
		out = append(out, s.methods()...)
	}
	return out
}

// shown is the server to its reflection, which does not list the services of
// modules that are switched off.
type shown struct {
	*grpc.Server
	module *Module
}

// GetServiceInfo implements reflection.ServiceInfoProvider.
func (s shown) GetServiceInfo() map[string]grpc.ServiceInfo {
	out := s.Server.GetServiceInfo()
	for name := range out {
		if s.module.hidden(name) {
			delete(out, name)
		}
	}
	return out
}

// hidden reports whether the service is of a module that is switched off.
func (m *Module) hidden(name string) bool {
	for _, s := range m.services {
		if s.desc.ServiceName == name {
			return !m.host.Assembly().Linked(s.module)
		}
	}
	return false
}
