"""croissant.json of a release: its Parquet tables and DuckDB file, described in Croissant 1.0 (MLCommons).

Each file is named with its sha256; each table is a record set over its files. Knows JSON-LD, not where it is put.
"""

import json
from typing import Any

from ..rows import Column, Table
from ..site import File
from ..tables import TABLES
from .card import DESCRIPTION, NAME, PRETTY
from .parquet import FOLDER, columns_of

_LICENSE = "https://creativecommons.org/publicdomain/zero/1.0/"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TYPES = {"VARCHAR": "Text", "BIGINT": "Integer", "DOUBLE": "Float", "BOOLEAN": "Boolean", "TIMESTAMP": "DateTime"}
_MEDIA = {".parquet": "application/x-parquet", ".duckdb": "application/vnd.duckdb"}


def croissant(files: dict[str, File], released: str, seq: int, schema: str) -> str:
    """The text for these files (by path) of a release."""
    data = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": NAME,
        "alternateName": PRETTY,
        "description": DESCRIPTION,
        "license": _LICENSE,
        "version": f"{schema}.{seq}",
        "datePublished": released,
        "creator": {"@type": "sc:Organization", "name": "the curators of swindex"},
        "citeAs": f"swindex, release of {released}, change {seq}",
        "isLiveDataset": True,
        "distribution": [*_objects(files), *(_set(table) for table in TABLES)],
        "recordSet": [_records(table) for table in TABLES],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _objects(files: dict[str, File]) -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "contentUrl": path,
            "contentSize": f"{file.size} B",
            "encodingFormat": _MEDIA[path[path.rindex(".") :]],
            "sha256": file.sha256,
        }
        for path, file in sorted(files.items())
    ]


def _set(table: Table) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{table.name}-files",
        "name": f"{table.name}-files",
        "encodingFormat": _MEDIA[".parquet"],
        "includes": f"{FOLDER}/{table.name}/*.parquet",
    }


def _records(table: Table) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.meaning,
        "field": [_field(table, column) for column in columns_of(table)],
    }


def _field(table: Table, column: Column) -> dict[str, Any]:
    kind, is_list = column.type.removesuffix("[]"), column.type.endswith("[]")
    return {
        "@type": "cr:Field",
        "@id": f"{table.name}/{column.name}",
        "name": column.name,
        "description": column.meaning,
        "dataType": f"sc:{_TYPES[kind]}",
        **({"repeated": True} if is_list else {}),
        "source": {"fileSet": {"@id": f"{table.name}-files"}, "extract": {"column": column.name}},
    }
