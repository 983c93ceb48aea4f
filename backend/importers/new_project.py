"""A project of its own for a data set, with a label config that has its categories."""

from xml.sax.saxutils import quoteattr

from backend.importers.source import DataSource
from backend.label_studio.config_edit import edit_config
from backend.label_studio.task_import import ImportClient
from ris_core.errors import BadInput
from ris_core.output.plain_text import page

ONLY_LABEL = "Object"
"""The label of a data set without categories."""


def ensure_project(studio: ImportClient, title: str, source: DataSource, name: str) -> tuple[int, bool]:
    """The project of a title, made if it is not there; its id, and whether it is new.

    Raises:
        BadInput: If there is a project of this title that no import of this data set made.
    """
    description = f"Imported by label-studio-ris: {source.format}/{name}"
    for project in studio.list_projects():
        if project.get("title") == title:
            if project.get("description") == description:
                return int(project["id"]), False
            raise BadInput(
                f"There is a project {title!r} already, number {project['id']}.",
                f"Give --project {project['id']} to import into it, or another title.",
            )
    return studio.create_project(title, description, make_label_config(source.labels)), True


def make_label_config(labels: tuple[str, ...]) -> str:
    """The recommended label config (`label_config/recommended.xml`), with these labels."""
    names = [label for label in labels if label.strip()] or [ONLY_LABEL]
    tags = "\n".join(f"    <Label value={quoteattr(page(name))}/>" for name in names)
    xml = f"""\
<View>
  <BrushLabels name="brush" toName="image" smart="false">
{tags}
  </BrushLabels>
  <Image name="image" value="$image"/>
</View>
"""
    return edit_config(xml).after
