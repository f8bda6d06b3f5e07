package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// ExportFile exports to a file, packed when its name ends in .gz. The file is there
// when all of it is, and one of the same name stays until then.
func (s *Store) ExportFile(ctx context.Context, path string, options ExportOptions) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := s.exportTo(ctx, file, strings.HasSuffix(path, ".gz"), options); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func (s *Store) exportTo(ctx context.Context, w io.Writer, packed bool, options ExportOptions) error {
	if !packed {
		return s.Export(ctx, w, options)
	}
	packer := gzip.NewWriter(w)
	return errors.Join(s.Export(ctx, packer, options), packer.Close())
}

// ImportFile imports a file, which is packed when its name ends in .gz.
func (s *Store) ImportFile(ctx context.Context, path string, options ImportOptions) (Imported, error) {
	file, err := os.Open(path)
	if err != nil {
		return Imported{}, fmt.Errorf("import: %w", err)
	}
	defer file.Close() //nolint:errcheck // read only
	var from io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		unpacker, err := gzip.NewReader(file)
		if err != nil {
			return Imported{}, fmt.Errorf("import %s: this is no gzip file: %w", path, err)
		}
		defer unpacker.Close() //nolint:errcheck // read only
		from = unpacker
	}
	imported, err := s.Import(ctx, from, options)
	if err != nil {
		return Imported{}, fmt.Errorf("import %s: %w", path, err)
	}
	return imported, nil
}
