"""qpmstudy embed: stores of frozen embeddings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cluster.commands.options import FILE, FOLDER, console, storage_options, storage_root, told


@click.command()
@click.option("--dataset", show_default="birds", help="Its name (see above).")
@click.option("--backbone", show_default="patch-descriptor", help="Its name, perhaps with options.")
@click.option("--data", type=FOLDER, help="Folder of the images (not needed for synthetic birds).")
@click.option("--weights", type=FILE, help="Checkpoint file, instead of one in QPMSTUDY_WEIGHTS.")
@click.option("--batch", type=click.IntRange(min=1), help="Images embedded at once.  [default: 32]")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="Of the backbone.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that decode images.")
@click.option("--skip-broken", is_flag=True, help="Leave out images that cannot be decoded.")
@click.option("--force", is_flag=True, help="Replace a store that is there.")
@click.option("--ray", "on_ray", is_flag=True, help="Spread over a Ray cluster, or this machine.")
@click.option("--list", "show_list", is_flag=True, help="Only list the stores there are.")
@click.option("--verify", is_flag=True, help="Only compare stores with their checksums.")
@storage_options
@told
def embed(
    root: Path,
    embeddings: str | None,
    on_ray: bool,
    show_list: bool,
    verify: bool,
    **options: Any,
) -> None:
    """Compute frozen embeddings once, into a Zarr store that every study shares.

    Stopped at any moment, it goes on with the shards that are missing.

    With --ray each shard is a task: of the cluster that RAY_ADDRESS names, whose nodes must see
    images, weights and store under the same paths, or of this machine.

    \b
    Datasets: birds (synthetic, made on first use; also birds-full, birds-small, birds-smoke,
      birds-stress), cub2011, stanford-cars, fgvc-aircraft (also ...-cropped to bounding boxes),
      and folder-NAME: class folders of your own.
    Backbones: patch-descriptor, pixels, resnet50, dino-vits16, dino-vitb8, dinov2-vitb14-reg,
      dinov3-vitb16 and their other sizes. Options stand behind the name:
      dinov2-vitb14-reg@layer=11,norm=no,size=448,precision=bfloat16
    """
    storage = storage_root(root, embeddings)
    if show_list or verify:
        from storage.inventory import listing, verify_lines

        if show_list:
            click.echo("\n".join(listing(storage)))
        if verify:
            lines, whole = verify_lines(storage, options["dataset"], options["backbone"])
            click.echo("\n".join(lines), err=not whole)
            sys.exit(0 if whole else 1)
        return
    from cluster.reporter import Reporter
    from storage.prepare import embed_named, summary

    if on_ray:
        from cluster.embedding import fill_on_ray

        options["fill"] = fill_on_ray(options["weights"])
    store = embed_named(storage, Reporter(console()).phase, **options)
    click.echo("\n".join(summary(store)))
