package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"os"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// The media types of the artifacts that Flux's source-controller fetches
// [https://fluxcd.io/flux/cheatsheets/oci-artifacts/].
const (
	fluxConfig  = "application/vnd.cncf.flux.config.v1+json"
	fluxContent = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// kustomization pushes the directory as `flux push artifact` does. The same commit
// always gives the same digest.
func (a artifact) kustomization() (string, error) {
	archive, err := a.archive()
	if err != nil {
		return "", err
	}
	ctx, store := context.Background(), memory.New()
	layer, err := oras.PushBytes(ctx, store, fluxContent, archive)
	if err != nil {
		return "", err
	}
	config, err := oras.PushBytes(ctx, store, fluxConfig, []byte("{}"))
	if err != nil {
		return "", err
	}
	manifest, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, "", oras.PackManifestOptions{
		ConfigDescriptor: &config,
		Layers:           []ocispec.Descriptor{layer},
		ManifestAnnotations: map[string]string{
			ocispec.AnnotationCreated:  a.created.Format(time.RFC3339),
			ocispec.AnnotationSource:   a.source,
			ocispec.AnnotationRevision: a.version + "@sha1:" + a.commit,
		},
	})
	if err != nil {
		return "", err
	}
	if err := store.Tag(ctx, manifest, a.version); err != nil {
		return "", err
	}
	repository, err := a.repository()
	if err != nil {
		return "", err
	}
	if _, err := oras.Copy(ctx, store, a.version, repository, a.version, oras.DefaultCopyOptions); err != nil {
		return "", err
	}
	if a.latest {
		if err := repository.Tag(ctx, manifest, "latest"); err != nil {
			return "", err
		}
	}
	return manifest.Digest.String(), nil
}

func (a artifact) repository() (*remote.Repository, error) {
	repository, err := remote.NewRepository(a.to)
	if err != nil {
		return nil, err
	}
	docker, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, err
	}
	repository.PlainHTTP = a.plain()
	repository.Client = &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache(), Credential: credentials.Credential(docker)}
	return repository, nil
}

// archive packs the files without owners and times, which differ between checkouts.
func (a artifact) archive() ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	pack := tar.NewWriter(zip)
	root := os.DirFS(a.dir)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		if entry.IsDir() {
			return pack.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: 0o755})
		}
		body, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		if err := pack.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: int64(len(body))}); err != nil {
			return err
		}
		_, err = pack.Write(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := pack.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
