"""The papers' tables and figures: experiments as data, one engine, pages that put the paper's number beside ours."""
