//! contract. LEAD NOTE: see LEAD-NOTE.md in the root of this worktree before writing anything here.
