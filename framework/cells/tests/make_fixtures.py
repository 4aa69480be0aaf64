"""Writes the small files below fixtures/, with the field's own packages, in every form that the tests read.

    pip install anndata==0.12.19 zarr==3.1.6 hdf5plugin==7.1.0 && python framework/cells/tests/make_fixtures.py

All hold the matrix value(cell, gene) = (7 cell + 3 gene) mod 5 / 2 of 23 cells and 6 genes (counts: times two), so that
a reader is checked against the formula. Files are packed with gzip; a zarr store becomes one file (path, length, bytes).
"""

import gzip
import shutil
import tempfile
from pathlib import Path

import anndata
import h5py
import hdf5plugin
import numcodecs
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
import zarr.codecs

OUT = Path(__file__).parent / "fixtures"
N, M = 23, 6
i, j = np.mgrid[0:N, 0:M]
COUNTS = (7 * i + 3 * j) % 5
X = (COUNTS / 2).astype(np.float32)
LABEL = [["A", "B", "A+B", "control", None][k % 5] for k in range(N)]


def pack(path):
    """One file, packed with gzip."""
    data = path.read_bytes() if path.is_file() else b"".join(
        f"{f.relative_to(path).as_posix()}\t{f.stat().st_size}\n".encode() + f.read_bytes()
        for f in sorted(path.rglob("*")) if f.is_file()
    )
    with open(OUT / f"{path.name}.gz", "wb") as to, gzip.GzipFile("", "wb", 9, fileobj=to, mtime=0) as f:
        f.write(data)


def screen(x):
    obs = pd.DataFrame(
        {
            "label": pd.Categorical(LABEL),
            "batch": pd.Categorical(np.arange(N) % 2),
            "text": [l or "" for l in LABEL],
            "nullable": pd.array(LABEL, dtype="string"),
            "whole": pd.array([k if k % 4 else None for k in range(N)], dtype="Int64"),
            "truth": pd.array([bool(k % 2) if k % 3 else None for k in range(N)], dtype="boolean"),
            "flag": [k % 2 == 0 for k in range(N)],
            "real": [k / 4 if k % 5 else np.nan for k in range(N)],
        },
        index=[f"cell{k}" for k in range(N)],
    )
    var = pd.DataFrame({"symbol": [f"S{k}" for k in range(M)]}, index=[f"G{k}" for k in range(M)])
    return anndata.AnnData(x, obs=obs, var=var)


def h5ad(tmp):
    def write(name, a, **kw):
        a.write_h5ad(tmp / name, **kw)
        return tmp / name

    csr, csc = sp.csr_matrix(X), sp.csc_matrix(X.astype(np.float64))
    plain = write("csr.h5ad", screen(csr))
    write("csc_f64.h5ad", screen(csc))
    write("dense.h5ad", screen(X))
    write("dense_gzip.h5ad", screen(X), compression="gzip")
    for kind in (np.int8, np.uint16, np.int32, np.int64, np.uint64):
        write(f"dense_{np.dtype(kind).name}.h5ad", screen(COUNTS.astype(kind)))
    # An index of 64 bits, and pieces of several chunks.
    with h5py.File(tmp / "csr_i64_chunks.h5ad", "w") as to, h5py.File(plain) as of:
        for k in of:
            if k != "X":
                of.copy(k, to)
        to.attrs.update(of.attrs)
        g = to.create_group("X")
        g.attrs.update(of["X"].attrs)
        g.create_dataset("indptr", data=of["X/indptr"][...].astype(np.int64), chunks=(7,))
        g.create_dataset("indices", data=of["X/indices"][...].astype(np.int64), chunks=(13,), compression="lzf")
        g.create_dataset("data", data=of["X/data"][...], chunks=(17,), compression="gzip", shuffle=True, fletcher32=True)
    for name, f in {
        "zstd": hdf5plugin.Zstd(),
        "lz4": hdf5plugin.LZ4(),
        "blosc_lz4": hdf5plugin.Blosc("lz4", 5, hdf5plugin.Blosc.SHUFFLE),
        "blosc_zstd_bits": hdf5plugin.Blosc("zstd", 5, hdf5plugin.Blosc.BITSHUFFLE),
        "blosc_zlib": hdf5plugin.Blosc("zlib", 5, hdf5plugin.Blosc.NOSHUFFLE),
        "blosclz": hdf5plugin.Blosc("blosclz", 9, hdf5plugin.Blosc.SHUFFLE),
        "bitshuffle": hdf5plugin.Bitshuffle(),
        "blosc2": hdf5plugin.Blosc2(),
    }.items():
        big = anndata.AnnData(np.zeros((N * 20, M * 20), dtype=np.float32))
        big.obs_names, big.var_names = [str(k) for k in range(N * 20)], [str(k) for k in range(M * 20)]
        with h5py.File(write(f"filter_{name}.h5ad", big, compression="gzip"), "a") as to:
            attrs = dict(to["X"].attrs)
            del to["X"]
            to.create_dataset("X", data=np.tile(X, (20, 20)), chunks=(100, 60), **f).attrs.update(attrs)
    layers = screen(csr)
    layers.layers["counts"] = sp.csr_matrix(COUNTS)
    del layers.X
    write("no_x.h5ad", layers)
    raw = screen(sp.csr_matrix(COUNTS.astype(np.float32)))
    raw.raw = raw
    raw = raw[:, [1, 3]].copy()
    raw.X = sp.csr_matrix(X[:, [1, 3]])
    write("raw.h5ad", raw)
    # As anndata 0.7 wrote it: no encodings of arrays, categories in a group of their own.
    shutil.copy(plain, tmp / "v07.h5ad")
    with h5py.File(tmp / "v07.h5ad", "a") as f:
        for a in list(f.attrs):
            del f.attrs[a]
        o = f["obs"]
        for c in ("nullable", "whole", "truth"):
            del o[c]
        for c in ("label", "batch", "text"):
            codes, categories = o[c]["codes"][...], o[c]["categories"][...]
            del o[c]
            o.create_dataset(c, data=codes)
            kw = {} if c == "batch" else {"dtype": h5py.string_dtype()}
            o.create_dataset(f"__categories/{c}", data=categories, **kw)
            o[c].attrs["categories"] = o[f"__categories/{c}"].ref
        o.attrs["encoding-version"] = f["var"].attrs["encoding-version"] = "0.1.0"
        for d in (o["_index"], o["flag"], o["real"], f["var/_index"], f["var/symbol"], f["X/data"], f["X/indices"], f["X/indptr"]):
            for a in list(d.attrs):
                del d.attrs[a]
        for g in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            del f[g]
    # As anndata 0.6 wrote it: obs and var as records.
    with h5py.File(tmp / "v06.h5ad", "w") as f:
        f.create_dataset("X", data=X)
        f.create_dataset("obs", data=np.array([(b"cell", 1)] * N, dtype=[("index", "S8"), ("label", "i1")]))
        f.create_dataset("var", data=np.array([(b"G",)] * M, dtype=[("index", "S8")]))
    # Sizes without bytes behind them.
    for name, place in (("huge_obs", "obs/_index"), ("huge_categories", "obs/label/categories"), ("huge_indptr", "X/indptr")):
        shutil.copy(plain, tmp / f"{name}.h5ad")
        with h5py.File(tmp / f"{name}.h5ad", "a") as f:
            attrs, dtype = dict(f[place].attrs), f[place].dtype
            del f[place]
            f.create_dataset(place, shape=(10**12,), dtype=dtype, chunks=(1024,)).attrs.update(attrs)
    # Index and categories as pandas 3 has them: text that may be missing.
    shutil.copy(plain, tmp / "pandas3.h5ad")
    anndata.settings.allow_write_nullable_strings = True
    with h5py.File(tmp / "pandas3.h5ad", "a") as f:
        for frame, name, values in (("obs", "_index", [f"cell{k}" for k in range(N)]), ("obs/label", "categories", ["A", "A+B", "B", "control"])):
            del f[frame][name]
            anndata.io.write_elem(f[frame], name, pd.array(values, dtype="string"))


def tenx(tmp):
    genes = [f"G{k}".encode() for k in range(M)]
    barcodes = [f"cell{k}-1".encode() for k in range(N)]
    x = sp.csr_matrix(COUNTS)

    def matrix(g):
        g.create_dataset("barcodes", data=np.array(barcodes))
        g.create_dataset("data", data=x.data.astype(np.int32), compression="gzip", chunks=(20,))
        g.create_dataset("indices", data=x.indices.astype(np.int64), compression="gzip", chunks=(20,))
        g.create_dataset("indptr", data=x.indptr.astype(np.int64))
        g.create_dataset("shape", data=np.array([M, N], dtype=np.int32))

    with h5py.File(tmp / "tenx_v3.h5", "w") as f:
        m = f.create_group("matrix")
        matrix(m)
        k = m.create_group("features")
        k.create_dataset("id", data=np.array([b"ENSG" + g for g in genes]))
        k.create_dataset("name", data=np.array(genes))
        kinds = [b"Gene Expression"] * 4 + [b"CRISPR Guide Capture", b"Antibody Capture"]
        k.create_dataset("feature_type", data=np.array(kinds))
        k.create_dataset("genome", data=np.array([b"GRCh38"] * M))
    for name, genomes in (("tenx_v2.h5", ["hg19"]), ("tenx_v2_two.h5", ["hg19", "mm10"])):
        with h5py.File(tmp / name, "w") as f:
            for genome in genomes:
                g = f.create_group(genome)
                matrix(g)
                g.create_dataset("genes", data=np.array([b"ENSG" + g for g in genes]))
                g.create_dataset("gene_names", data=np.array(genes))


def stores(tmp):
    a = screen(sp.csr_matrix(X))
    a.layers["dense"] = X
    a.layers["csc"] = sp.csc_matrix(X.astype(np.float64))
    for version in (2, 3):
        anndata.settings.zarr_write_format = version
        a.write_zarr(tmp / f"v{version}.zarr", chunks=(7, 4))
    # Other compressions: the arrays of X and a dense layer, written again. Repeated, so that packing makes sense.
    long = np.tile(X, (100, 1))
    for version, name, codec in (
        (2, "blosc_lz4", numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE)),
        (2, "blosc_lz4hc_bits", numcodecs.Blosc("lz4hc", 5, numcodecs.Blosc.BITSHUFFLE)),
        (2, "blosc_zstd", numcodecs.Blosc("zstd", 5, numcodecs.Blosc.SHUFFLE)),
        (2, "blosc_zlib", numcodecs.Blosc("zlib", 5, numcodecs.Blosc.NOSHUFFLE)),
        (2, "zstd", numcodecs.Zstd()),
        (2, "gzip", numcodecs.GZip()),
        (2, "zlib", numcodecs.Zlib()),
        (2, "lz4", numcodecs.LZ4()),
        (2, "none", None),
        (2, "bz2", numcodecs.BZ2()),
        (3, "gzip3", zarr.codecs.GzipCodec()),
        (3, "blosc3", zarr.codecs.BloscCodec(cname="lz4", shuffle="shuffle", typesize=4)),
        (3, "none3", None),
    ):
        anndata.settings.zarr_write_format = version
        path = tmp / f"codec_{name}.zarr"
        b = anndata.AnnData(np.zeros((len(long), M), dtype=np.float32), obs=pd.DataFrame(index=[f"c{k}" for k in range(len(long))]))
        b.write_zarr(path)
        g = zarr.open_group(path, mode="a", zarr_format=version)
        del g["X"]
        z = g.create_array("X", shape=long.shape, chunks=(1000, 4), dtype="f4", compressors=codec)
        z[...] = long
        z.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    g = zarr.open_group(tmp / "sharded.zarr", mode="w", zarr_format=3)
    shutil.rmtree(tmp / "sharded.zarr")
    shutil.copytree(tmp / "codec_none3.zarr", tmp / "sharded.zarr")
    g = zarr.open_group(tmp / "sharded.zarr", mode="a")
    del g["X"]
    z = g.create_array("X", shape=long.shape, chunks=(100, 3), shards=(1000, 6), dtype="f4")
    z[...] = long
    z.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    anndata.settings.allow_write_nullable_strings = True
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        h5ad(tmp)
        tenx(tmp)
        stores(tmp)
        for f in sorted(tmp.iterdir()):
            pack(f)


main()
