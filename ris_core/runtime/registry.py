"""The weights that the profiles use: what each is, its licence, its digest, and where to download it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Weight:
    """A file or folder of weights.

    Attributes:
        name: What profiles call it.
        path: The file or folder, relative to the folder of the store, or of the bundled weights.
        about: What it is, in a line.
        licence: Licence of the weights.
        contains: Files that a folder must hold to be whole.
        sha256: Hex digest of the file; empty for bundled weights, which are under version control.
        url: Where to download the file from.
        hub_repo: The model hub's repository that holds the file, instead of `url`.
        hub_revision: Commit of `hub_repo`.
        profile: A profile that uses it, for the advice how to get it.
    """

    name: str
    path: str
    about: str = ""
    licence: str = ""
    contains: tuple[str, ...] = ()
    sha256: str = ""
    url: str = ""
    hub_repo: str = ""
    hub_revision: str = ""
    profile: str = ""

    @property
    def bundled(self) -> bool:
        """It is part of the repository and cannot be downloaded."""
        return not (self.url or self.hub_repo)

    @property
    def command(self) -> str:
        """What gets it."""
        return "make demo-train" if self.bundled else f"ris models pull {self.profile or self.name}"


def _sam(architecture: str, file: str, sha256: str, profile: str = "") -> Weight:
    return Weight(
        name=f"sam-{architecture}",
        path=file,
        about=f"Segment Anything, {architecture}",
        licence="Apache-2.0",
        sha256=sha256,
        url=f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
        profile=profile,
    )


def _openai_clip(name: str, file: str, sha256: str, about: str, profile: str) -> Weight:
    return Weight(
        name=name,
        path=f"{name}/{file}",
        about=f"OpenAI CLIP {about}, to be used with QuickGELU",
        licence="MIT",
        sha256=sha256,
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
        ),
        Weight(
            name="clip-tiny",
            path="clip-tiny",
            about="CLIP-tiny, trained by this project on synthetic scenes",
            licence="Apache-2.0",
            contains=("open_clip_config.json", "open_clip_model.safetensors"),
        ),
        Weight(
            name="parser-tiny",
            path="parser",
            about="English dependency parser, trained by this project on UD English EWT and generated expressions",
            licence="CC BY-SA 4.0",
            contains=("meta.json", "config.cfg"),
        ),
        _sam(
            "vit-b", "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", "base"
        ),
        _sam("vit-l", "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
        _sam(
            "vit-h", "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", "large"
        ),
        Weight(
            name="sam-mobile",
            path="mobile_sam.pt",
            about="MobileSAM, vit_t",
            licence="Apache-2.0",
            sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            url="https://github.com/ChaoningZhang/MobileSAM/raw/f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt",
            profile="cpu",
        ),
        Weight(
            name="clip-vit-b-16",
            path="clip-vit-b-16/open_clip_model.safetensors",
            about="OpenAI CLIP ViT-B/16, to be used with QuickGELU",
            licence="MIT",
            sha256="4b8699299b1e8997753c64b052ba32031449d5d853f55a039148560ee02b820f",
            hub_repo="timm/vit_base_patch16_clip_224.openai",
            hub_revision="977e3dd0ec55ab8da155f2fbeb6b5f54948b6e3d",
            profile="base",
        ),
        _openai_clip(
            "clip-vit-b-32",
            "ViT-B-32.pt",
            "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            "ViT-B/32",
            "paper-gl",
        ),
        _openai_clip(
            "clip-rn50",
            "RN50.pt",
            "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
            "ResNet-50",
            "paper-gl-rn50",
        ),
        _openai_clip(
            "clip-vit-l-14",
            "ViT-L-14.pt",
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
            "ViT-L/14",
            "large",
        ),
    )
}
"""All weights that the profiles use."""
