"""The weights that the profiles use: what each is, its licence, its digest, and where to download it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Weight:
    """A file or folder of weights.

    Attributes:
        name: What profiles call it.
        path: The file or folder, relative to the folder of the store, or of the bundled weights.
        about: What it is, in a line.
        licence: Licence of the weights.
        code_licence: Licence of the code that was published with them.
        data: What they were trained on, and its licence.
        is_commercial: Whether the licence of the weights allows commercial use.
        size_bytes: Size of the file; 0 if that is not known.
        contains: Files that a folder must hold to be whole.
        sha256: Hex digest of the file; empty for bundled weights, which are under version control, and where none is known.
        sha256_origin: Where `sha256` is from: their publisher states it, or many who downloaded the file did.
        url: Where to download the file from.
        hub_repo: The model hub's repository that holds the file, instead of `url`.
        hub_revision: Commit of `hub_repo`.
        profile: A profile that uses it, for the advice how to get it.
    """

    name: str
    path: str
    about: str = ""
    licence: str = ""
    code_licence: str = ""
    data: str = ""
    is_commercial: bool = True
    size_bytes: int = 0
    contains: tuple[str, ...] = ()
    sha256: str = ""
    sha256_origin: Literal["published", "observed", ""] = ""
    url: str = ""
    hub_repo: str = ""
    hub_revision: str = ""
    profile: str = ""

    @property
    def bundled(self) -> bool:
        """It is part of the repository and cannot be downloaded."""
        return not (self.url or self.hub_repo)

    @property
    def source(self) -> str:
        """Where they come from."""
        if self.hub_repo:
            return f"the model hub's {self.hub_repo}, revision {self.hub_revision}"
        return self.url or "the repository"

    @property
    def command(self) -> str:
        """What gets it."""
        return "make demo-train" if self.bundled else f"ris models pull {self.profile or self.name}"


_SA_1B = "SA-1B (for research only)"
_SCENES = "synthetic scenes of this project"
_WIT = "image-text pairs of OpenAI, not published"


def _sam(architecture: str, file: str, sha256: str, size_bytes: int, profile: str = "") -> Weight:
    return Weight(
        name=f"sam-{architecture}",
        path=file,
        about=f"Segment Anything, {architecture}",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data=_SA_1B,
        size_bytes=size_bytes,
        sha256=sha256,
        sha256_origin="observed",
        url=f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
        profile=profile,
    )


def _openai_clip(name: str, file: str, sha256: str, size_bytes: int, about: str, profile: str) -> Weight:
    return Weight(
        name=name,
        path=f"{name}/{file}",
        about=f"OpenAI CLIP {about}, to be used with QuickGELU",
        licence="MIT",
        code_licence="MIT",
        data=_WIT,
        size_bytes=size_bytes,
        sha256=sha256,
        sha256_origin="published",  # in the address
        url=f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}",
        profile=profile,
    )


REGISTRY: Mapping[str, Weight] = {
    weight.name: weight
    for weight in (
        Weight(
            name="sam-tiny",
            path="sam-tiny.safetensors",
            about="SAM-tiny, trained by this project on synthetic scenes",
            licence="Apache-2.0",
            code_licence="Apache-2.0",
            data=_SCENES,
        ),
        Weight(
            name="clip-tiny",
            path="clip-tiny",
            about="CLIP-tiny, trained by this project on synthetic scenes",
            licence="Apache-2.0",
            code_licence="Apache-2.0",
            data=_SCENES,
            contains=("open_clip_config.json", "open_clip_model.safetensors"),
        ),
        Weight(
            name="parser-tiny",
            path="parser",
            about="English dependency parser, trained by this project on UD English EWT and generated expressions",
            licence="CC BY-SA 4.0",
            code_licence="Apache-2.0",
            data="UD English EWT (CC BY-SA 4.0), and generated expressions",
            contains=("meta.json", "config.cfg"),
        ),
        _sam(
            "vit-b",
            "sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375_042_383,
            "base",
        ),
        _sam(
            "vit-l",
            "sam_vit_l_0b3195.pth",
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            1_249_524_607,
        ),
        _sam(
            "vit-h",
            "sam_vit_h_4b8939.pth",
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            2_564_550_879,
            "large",
        ),
        Weight(
            name="sam-mobile",
            path="mobile_sam.pt",
            about="MobileSAM, vit_t",
            licence="Apache-2.0",
            code_licence="Apache-2.0",
            data=_SA_1B,
            size_bytes=40_728_226,
            sha256_origin="observed",
            sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            url="https://github.com/ChaoningZhang/MobileSAM/raw/f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt",
            profile="cpu",
        ),
        Weight(
            name="clip-vit-b-16",
            path="clip-vit-b-16/open_clip_model.safetensors",
            about="OpenAI CLIP ViT-B/16, to be used with QuickGELU",
            licence="MIT",
            code_licence="MIT",
            data=_WIT,
            size_bytes=598_516_980,
            sha256_origin="observed",
            sha256="4b8699299b1e8997753c64b052ba32031449d5d853f55a039148560ee02b820f",
            hub_repo="timm/vit_base_patch16_clip_224.openai",
            hub_revision="977e3dd0ec55ab8da155f2fbeb6b5f54948b6e3d",
            profile="base",
        ),
        _openai_clip(
            "clip-vit-b-32",
            "ViT-B-32.pt",
            "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            353_976_522,
            "ViT-B/32",
            "cpu",
        ),
        _openai_clip(
            "clip-rn50",
            "RN50.pt",
            "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
            255_827_503,
            "ResNet-50",
            "paper-gl-rn50",
        ),
        _openai_clip(
            "clip-vit-l-14",
            "ViT-L-14.pt",
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
            932_768_134,
            "ViT-L/14",
            "large",
        ),
    )
}
"""All weights that the profiles use."""
