"""Label configs to read, and recorded requests."""

import json
from pathlib import Path

from backend.label_studio.label_config import read_config

ROOT = Path(__file__).parents[2]
TRAFFIC = ROOT / "tests" / "data" / "label-studio-traffic"

IMAGE = '<Image name="image" value="$image"/>'
BRUSH = '<BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels>'
PROMPT = '<TextArea name="prompt" toName="image"/>'
MESSAGE_AREA = '<TextArea name="ris_message" toName="image" maxSubmissions="0" readOnly="true"/>'


def request_body(name):
    return json.loads((TRAFFIC / name).read_text())["request"]["body"]


def config_of(*tags):
    return read_config(f"<View>{''.join(tags)}</View>")


def control_of(*labels):
    return config_of(IMAGE, f'<BrushLabels name="brush" toName="image">{"".join(labels)}</BrushLabels>').controls[0]
