"""Metadata for people who check, cite and archive the workbook, from CITATION.cff and the committed results.

``python -m softmask.report.metadata`` writes, into the checkout, ``codecheck.yml`` (CODECHECK, configuration 1.0),
``codemeta.json`` (CodeMeta 3.0), ``.zenodo.json``, and ``ro-crate-metadata.json`` (Workflow Run RO-Crate 0.5); a test
compares them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from softmask.config import ROOT
from softmask.files import read_json
from softmask.papers import display
from softmask.report import contents
from softmask.report.headline import RUNS, regenerate
from softmask.report.result import WORKBOOK

_COMMAND = "run_all.sh"
_DESCRIPTOR = "ro-crate-metadata.json"
_PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)
_FORMATS = {".csv": "text/csv", ".png": "image/png", ".ipynb": "application/x-ipynb+json"}


def written() -> dict[str, str]:
    """Return the content of each file by its name."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    citation["abstract"] = " ".join(citation["abstract"].split())
    outputs = {run: dict(_outputs(run)) for run in RUNS}
    files = {
        "codemeta.json": _codemeta(citation),
        ".zenodo.json": _zenodo(citation),
        _DESCRIPTOR: _crate(citation, outputs),
    }
    texts = {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in files.items()}
    return texts | {"codecheck.yml": yaml.safe_dump(_codecheck(citation, outputs), sort_keys=False, width=120)}


def _outputs(run: str) -> Iterator[tuple[str, str]]:
    """Yield the committed tables and figures of a run: path in the checkout, and title."""
    run_contents = contents.read(run)
    for table in run_contents.tables:
        path = f"results/{run}/tables/{table.paper}/{table.name}.csv"
        if (ROOT / path).exists():
            yield path, f"{_called(table.paper, table.name)}: {table.title}"
    for figure in run_contents.figures:
        for picture in figure.pictures:
            yield f"figures/{run}/{figure.paper}/{picture.name}.png", _called(figure.paper, picture.name)


def _called(paper: str, name: str) -> str:
    return f"{'this workbook' if paper == WORKBOOK else display('papers', paper)}, {name.replace('-', ' ')}"


def _codecheck(citation: Mapping, outputs: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    manifest = []
    for run, files in outputs.items():
        manifest += [{"file": path, "comment": f"{title} (run {run})"} for path, title in files.items()]
    return {
        "version": "https://codecheck.org.uk/spec/config/1.0/",
        "paper": {"title": citation["title"], "authors": citation["authors"]},
        "summary": f"{citation['abstract']} Command: ./{_COMMAND}",
        "manifest": manifest,
    }


def _codemeta(citation: Mapping) -> dict[str, Any]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": citation["title"],
        "identifier": project["name"],
        "version": citation["version"],
        "dateModified": str(citation["date-released"]),
        "description": citation["abstract"],
        "license": f"https://spdx.org/licenses/{citation['license']}",
        "author": [{"@type": "Organization", "name": author["name"]} for author in citation["authors"]],
        "keywords": citation["keywords"],
        "programmingLanguage": "Python",
        "runtimePlatform": f"Python {project['requires-python']}",
        "operatingSystem": "Linux",
        "softwareRequirements": project["dependencies"],
        "referencePublication": [_article(reference) for reference in citation["references"]],
    }


def _article(reference: Mapping) -> dict[str, Any]:
    article = {"@type": "ScholarlyArticle", "name": reference["title"], "datePublished": str(reference["year"])}
    return article | ({"@id": address} if (address := _address(reference)) else {})


def _address(reference: Mapping) -> str:
    return f"https://doi.org/{reference['doi']}" if "doi" in reference else reference.get("url", "")


def _zenodo(citation: Mapping) -> dict[str, Any]:
    addresses = filter(None, map(_address, citation["references"]))
    return {
        "upload_type": "software",
        "title": citation["title"],
        "version": citation["version"],
        "description": citation["abstract"],
        "creators": [{"name": author["name"]} for author in citation["authors"]],
        "license": citation["license"],
        "keywords": citation["keywords"],
        "related_identifiers": [{"identifier": address, "relation": "references"} for address in addresses],
    }


def _crate(citation: Mapping, outputs: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    licence = f"https://spdx.org/licenses/{citation['license']}"
    titles = {path: title for files in outputs.values() for path, title in files.items()}
    notebooks = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    authors = citation["authors"]
    agents = [{"@id": f"#{author['name'].replace(' ', '-')}"} for author in authors]
    actions = [_action(run, files, agents[0]) for run, files in outputs.items() if files]
    sources = {identity: source for run in outputs for identity, source in _sources(run).items()}
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": citation["title"],
        "description": citation["abstract"],
        "datePublished": str(citation["date-released"]),
        "license": {"@id": licence},
        "author": agents,
        "keywords": ", ".join(citation["keywords"]),
        "conformsTo": [{"@id": profile} for profile in _PROFILES],
        "mainEntity": {"@id": _COMMAND},
        "hasPart": [{"@id": path} for path in (_COMMAND, *notebooks, *titles)],
        "mentions": [{"@id": action["@id"]} for action in actions],
    }
    workflow = {
        "@id": _COMMAND,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": f"{citation['title']}: all notebooks in their order",
        "description": "Sets up the environment, runs the notebooks by papermill, and compares the tables.",
        "programmingLanguage": {"@id": "#bash"},
        "license": {"@id": licence},
        "author": agents,
        "version": citation["version"],
    }
    organizations = [{"@type": "Organization"} | agent | author for agent, author in zip(agents, authors, strict=True)]
    profiles = [{"@id": url, "@type": "CreativeWork", "name": url, "version": Path(url).name} for url in _PROFILES]
    contextual = [
        {"@id": "#bash", "@type": "ComputerLanguage", "name": "Bash", "url": "https://www.gnu.org/software/bash/"},
        {"@id": licence, "@type": "CreativeWork", "name": f"{citation['license']} licence", "identifier": licence},
        *organizations,
        *profiles,
    ]
    descriptor = {"@id": _DESCRIPTOR, "@type": "CreativeWork", "about": {"@id": "./"}}
    descriptor["conformsTo"] = {"@id": "https://w3id.org/ro/crate/1.1"}
    parts = [
        {"@id": path, "@type": "File", "name": title, "encodingFormat": _FORMATS[Path(path).suffix]}
        for path, title in ({path: Path(path).stem for path in notebooks} | titles).items()
    ]
    graph = [descriptor, root, workflow, *actions, *sources.values(), *contextual, *parts]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _provenances(run: str) -> Iterator[Mapping[str, Any]]:
    for path in sorted((ROOT / "results" / run / "tables").glob("*/*.json")):
        yield read_json(path)["provenance"]


def _sources(run: str) -> dict[str, dict[str, Any]]:
    """Return the data behind the tables of a run, by their ``@id``."""
    sources = {}
    for provenance in _provenances(run):
        for data in provenance["datasets"]:
            fields = {"name": f"{data['name']}, {data['source']}", "description": data["origin"]}
            identity = f"#data-{data['fingerprint'][:16]}"
            sources[identity] = {"@id": identity, "@type": "Dataset", **fields, "identifier": data["fingerprint"]}
    return sources


def _action(run: str, files: Mapping[str, str], agent: Mapping[str, str]) -> dict[str, Any]:
    machines = sorted({provenance["cpu"] for provenance in _provenances(run)})
    return {
        "@id": f"#{run}",
        "@type": "CreateAction",
        "name": f"run {run}",
        "description": f"./{_COMMAND}, profile and data {run}, on {', '.join(machines)}",
        "instrument": {"@id": _COMMAND},
        "agent": dict(agent),
        "object": [{"@id": identity} for identity in _sources(run)],
        "result": [{"@id": path} for path in files],
    }


if __name__ == "__main__":
    regenerate(written)
