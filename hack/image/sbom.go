package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const unknown = "NOASSERTION" // SPDX for "unknown"

// materials builds an SPDX document.
type materials struct {
	doc  *spdx.Document
	seen map[common.ElementID]bool
}

// sbom lists the content of each image: the modules by the build information in the
// program, and the module that the root certificates come from.
func (i *image) sbom() (*spdx.Document, error) {
	m := materials{seen: map[common.ElementID]bool{}, doc: &spdx.Document{
		SPDXVersion:       spdx.Version,
		DataLicense:       spdx.DataLicense,
		SPDXIdentifier:    "DOCUMENT",
		DocumentName:      "podinfo-" + i.version,
		DocumentNamespace: "https://github.com/seed-4591fe7d/podinfo/spdx/" + i.digest.Hex,
		CreationInfo: &spdx.CreationInfo{
			Created:  i.created.Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "podinfo-hack-image-" + i.version}},
		},
	}}
	index := m.add("", "podinfo", i.version, "CONTAINER", "pkg:oci/podinfo@"+i.digest.String()+"?repository_url="+repository)
	certs := m.certificates()
	for _, p := range i.platforms {
		img := m.add(index, "podinfo-"+strings.ReplaceAll(p.platform.String(), "/", "-"), i.version, "CONTAINER",
			"pkg:oci/podinfo@"+p.digest.String()+"?repository_url="+repository+"&arch="+p.platform.Architecture)
		m.relate(img, "CONTAINS", certs)
		info, err := buildinfo.Read(bytes.NewReader(p.program))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", programPath, err)
		}
		m.program(img, i.version, p.platform.Architecture, info)
	}
	return m.doc, nil
}

// program adds a program and the modules it links.
func (m *materials) program(img common.ElementID, version, arch string, info *buildinfo.BuildInfo) {
	prog := m.add(img, path.Base(programPath)+"-"+arch, version, "APPLICATION", "pkg:golang/"+info.Path+"@v"+version)
	m.module(prog, "stdlib", strings.TrimPrefix(info.GoVersion, "go"))
	for _, d := range info.Deps {
		d = cmp.Or(d.Replace, d)
		m.module(prog, d.Path, d.Version)
	}
}

func (m *materials) module(of common.ElementID, path, version string) {
	mod := m.add("", path, version, "LIBRARY", "pkg:golang/"+path+"@"+version)
	m.relate(of, "DEPENDS_ON", mod)
}

// certificates adds the module of the root certificates.
func (m *materials) certificates() common.ElementID {
	const module = "golang.org/x/crypto/x509roots/fallback"
	version := "unknown"
	if own, ok := debug.ReadBuildInfo(); ok {
		for _, d := range own.Deps {
			if d.Path == module {
				version = d.Version
			}
		}
	}
	return m.add("", module, version, "FILE", "pkg:golang/"+module+"@"+version)
}

// add adds a package once, with the package that contains it. The document itself
// describes a container image that nothing contains.
func (m *materials) add(in common.ElementID, name, version, purpose, purl string) common.ElementID {
	id := common.ElementID("Package-" + strings.Map(idRune, name+"-"+version))
	if !m.seen[id] {
		m.seen[id] = true
		m.doc.Packages = append(m.doc.Packages, &spdx.Package{
			PackageName: name, PackageSPDXIdentifier: id, PackageVersion: version, PrimaryPackagePurpose: purpose,
			PackageDownloadLocation: unknown, PackageLicenseConcluded: unknown, PackageLicenseDeclared: unknown, PackageCopyrightText: unknown,
			PackageExternalReferences: []*spdx.PackageExternalReference{{Category: "PACKAGE-MANAGER", RefType: "purl", Locator: purl}},
		})
	}
	switch {
	case in != "":
		m.relate(in, "CONTAINS", id)
	case purpose == "CONTAINER":
		m.relate("DOCUMENT", "DESCRIBES", id)
	}
	return id
}

func (m *materials) relate(a common.ElementID, how string, b common.ElementID) {
	m.doc.Relationships = append(m.doc.Relationships, &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: a}, Relationship: how, RefB: common.DocElementID{ElementRefID: b}})
}

// idRune replaces characters that an SPDX identifier must not contain.
func idRune(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-':
		return r
	}
	return '-'
}

func (i *image) writeSBOM(path string) error {
	doc, err := i.sbom()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Write(doc, &out, json.Indent("  ")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
